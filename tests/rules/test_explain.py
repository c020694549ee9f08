"""Rules in words."""

import pytest

from trainguard_rules import load_rules, load_text, shipped_packs
from trainguard_rules.actions import ACTIONS
from trainguard_rules.explain import deeds, explain, words
from trainguard_rules.explain.words import _PHRASES
from trainguard_rules.expr import Scope, parse
from trainguard_rules.expr.functions import FUNCTIONS
from trainguard_rules.expr.macros import MACROS
from trainguard_rules.rulebook import PlannedAction

RULES = """
checkpoints: {good_after: 30 steps}
groups:
  - name: g
    rules:
      - guard: LossSpike
        expr: loss > 2 * mean(loss, 20)
        for: 2 steps
        keep_firing_for: 5 steps
        resolve_expr: loss < mean(loss, 20)
        actions: [{restore_checkpoint: {}}, {scale_lr: {factor: 0.5, min: 1e-7}}]
        cooldown: 50 steps
        limit: 5 per 1000 steps
        unless: epoch < 2
        verify: {expr: loss < 1, within: 100 steps}
        escalate: [{stop: {}}]
        expires: 20 steps
      - {guard: Reports, expr: "slope(loss, 50) > 0 or isnan(grad_norm)"}
      - guard: Raises
        expr: median(loss, 5) > max(loss, 9)
        mode: approve
        actions: [{scale_weight_decay: {factor: 2}}]
      - {expect: LossDown, expr: loss < 0.5, within: 10 steps}
"""
BOOK = load_text(RULES, "rules.yaml")


def said(text):
    node, problems = parse(text, Scope(["loss", "grad_norm"]))
    assert problems == []
    return words.condition(node)


def test_a_guard_from_what_it_watches_to_how_far_it_goes():
    """Golden text."""
    assert explain("LossSpike", BOOK) == (
        """\
LossSpike: a guard of rules.yaml, group g

What it watches
  - loss > 2 * mean(loss, 20)
  - In words: loss is above 2 * (the mean of loss over the 20 samples before).
  - Its windows hold the samples before the one that is judged. Until half a window is filled it
    does not judge. NaN and infinities never enter one.
  - The windows are frozen while the rule is pending or firing, so that a fault can't become the
    norm that hides it. A level that outlasts its window (the longest has 20 samples) is learned as
    the new norm, once the trainer has heard of it.

When it fires, and when it lets go
  - Pending as soon as the condition is true; firing once it has been true for 2 steps without a
    break.
  - It lets go as soon as the condition is false and this is true: loss < mean(loss, 20).
  - Not before 5 steps after the condition was last true, though.
  - Where the condition can't be known (a NaN, a window not filled), the state stays as it is.

What it does
  - It goes back to the newest good checkpoint from before the incident; the data goes on.
  - Then it multiplies the learning rate by 0.5, but not below 1e-07.
  - A checkpoint is good once the run was healthy for 30 steps on end after it. Without one the
    restore is refused, and so are the actions after it.

What holds it back
  - While this is true it does not act, though it fires: epoch < 2
  - Cooldown: 50 steps from one time it acts to the next.
  - Limit: at most 5 interventions in any 1000 steps.
  - Settling: 10 steps after any action, its own or another rule's, has taken effect.
  - One intervention at a time: while one is under way it waits. Of rules that fire on one sample,
    one acts.
  - The bar on restores: each doubles the distance to the next, and a new good checkpoint, further
    on than any before, halves it again. So no run goes round in circles.
  - What the trainer has not begun within 20 steps, and a second, it does not do any more.

What follows if that does not help
  - It helped if this becomes true within 100 steps of taking effect: loss < 1
  - If not, it escalates, once in an incident: saves a checkpoint and ends the training.
  - When it has reached its limit, it escalates, once in an incident: saves a checkpoint and ends
    the training.

What it can do at most
  - At most 5 interventions in any 1000 steps, and an escalation in each incident.
  - It never scales the learning rate below 1e-07."""
    )


def test_a_guard_without_actions_only_reports():
    """Neither what holds it back nor what it can do at most is of interest then."""
    text = explain("Reports", BOOK)
    assert text.endswith("What it does\n  - Nothing: it only reports.")
    assert "In words: one of these is true." in text
    assert "(1) the slope of loss over the last 50 samples is above 0" in text
    assert "(2) grad_norm is not a number" in text
    assert "windows" not in text


def test_rolling_windows_approval_and_missing_bounds_are_said():
    """What makes a rule more dangerous than it looks."""
    text = " ".join(explain("Raises", BOOK).split())
    assert "The windows are rolling" in text
    assert "It asks a person, for 100 steps, and a second at least" in text
    assert "It may act any number of times: it has no limit." in text
    assert "There is no ceiling over the weight decay: the action has no 'max'." in text


@pytest.mark.parametrize(
    ("action", "follows"),
    [
        ("{scale_lr: {factor: 0.5}}", "If not, the numbers it changed are changed back."),
        (
            "{scale_lr: {factor: 0.5, recover_over: 9}}",
            "If not, nothing more is done: what it changed comes back by itself.",
        ),
    ],
)
def test_what_revert_means_is_said(action, follows):
    """For what comes back by itself it means nothing."""
    text = f"groups: [{{name: g, rules: [{{guard: G, expr: loss > 1, actions: [{action}], verify: {{expr: loss < 1, "
    text += "within: 5 steps, otherwise: revert}}]}]"
    assert follows in " ".join((explain("G", load_text(text)) or "").split())


def test_a_guard_that_only_notifies_tells_of_an_incident_once():
    """Where it has no cooldown."""
    text = "groups: [{name: g, rules: [{guard: G, expr: loss > 1, actions: [{notify: {to: x}}]COOLDOWN}]}]"
    once = "Nothing else: it tells of an incident once."
    assert once in (explain("G", load_text(text.replace("COOLDOWN", ""))) or "")
    assert once not in (explain("G", load_text(text.replace("COOLDOWN", ", cooldown: 9 steps"))) or "")


def test_an_expectation():
    """What is expected, and that nothing is done about it."""
    text = explain("LossDown", BOOK)
    assert text.startswith("LossDown: an expectation of rules.yaml, group g\n")
    assert "loss is below 0.5" in text
    assert "missed if that is not within 10 steps" in text


def test_unknown_names():
    """The caller knows what else there is."""
    assert explain("NoSuchRule", BOOK) is None


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("not isfinite(loss)", "loss is NaN or infinite"),
        ("loss > 2 * prev(loss)", "loss is above 2 * (loss one sample before)"),
        ("loss >= prev(loss, 3)", "loss is at least loss 3 samples before"),
        ("0 < loss <= 1", "0 is below loss and that is at most 1"),
        ("(loss + 1) * -2 < 2 ** 3 ** 2", "(loss + 1) * -2 is below 2 ** 3 ** 2"),
        ("loss - (loss - 1) == 1", "loss - (loss - 1) is 1"),
        ("(loss ** 2) ** 3 != 0", "(loss ** 2) ** 3 is not 0"),
        ("-(loss + 1) > 0", "-(loss + 1) is above 0"),
        ("loss > 1 and (loss < 2 or epoch > 2)", "loss is above 1 and (loss is below 2 or the epoch is above 2)"),
        ("not (loss > 1 and loss < 2)", "it is not so that (loss is above 1 and loss is below 2)"),
        ("share(loss > 1, 9) > 0.5", "the share of the last 9 samples that had (loss is above 1) is above 0.5"),
        ("since_best(loss) > 5", "the steps since the lowest loss is above 5"),
        (
            "since_best(loss, epochs, 1e-3, 0.01) > 5",
            "the epochs since the lowest loss (a new one lower by more than 0.001 plus 1 % of it) is above 5",
        ),
        ("cusum(loss, 1) > 5", "the running sum of what loss exceeds 1 by is above 5"),
        ("cusum(loss, 1, 5) >= 5", "the running sum of what loss exceeds 1 by, anew after 5 is at least 5"),
        ("loss > initial(loss, 5)", "loss is above what loss was after 5 samples"),
        ("absent(loss, 10)", "the steps since a sample of loss is at least 10"),
        ("log(loss) > 1", "log(loss) is above 1"),
    ],
)  # fmt: skip
def test_conditions_in_words(text, clause):
    """Comparisons and functions are said; arithmetic keeps its signs and as many parentheses as it needs."""
    assert said(text) == clause


def test_every_statistic_has_a_phrase():
    """A function that is added to the language is added here."""
    plain = {"log", "exp", "sqrt"}
    assert _PHRASES.keys() == FUNCTIONS.keys() - MACROS.keys() - plain


PARAMS = {
    "scale_lr": {"factor": 0.5},
    "set_lr": {"lr": 0.1},
    "scale_weight_decay": {"factor": 2.0},
    "set_weight_decay": {"weight_decay": 0.1},
    "set_knob": {"name": "dropout", "value": 0.3},
    "scale_knob": {"name": "dropout", "factor": 0.5},
    "skip_steps": {"count": 3},
    "notify": {"to": "oncall"},
    "rewarm_lr": {"start_lr": 0.01, "base_lr": 0.1, "over": 5},
}


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_has_words(kind):
    """A clause that can follow 'it', without markup."""
    params = ACTIONS[kind].model_validate(PARAMS.get(kind, {}))  # a new one: give what it has to have above
    clause = deeds.told(PlannedAction(kind, params))
    assert clause.split()[0].endswith("s")
    assert "``" not in clause
    assert not clause.endswith(".")


@pytest.mark.parametrize("pack", shipped_packs())
def test_every_shipped_rule_can_be_explained(pack):
    """And no line is longer than a page is wide."""
    book = load_rules([pack])
    for one in (*book.rules, *book.expectations):
        text = explain(one.name, book)
        assert text.startswith(one.name)
        assert all(len(line) <= 100 for line in text.splitlines())


def test_the_title_names_the_file_that_the_rule_stands_in():
    """Of several, its own."""
    book = load_rules(["stability", "seed_expectations"])
    for one in (*book.rules, *book.expectations):
        pack = "seed_expectations" if one in book.expectations else "stability"
        assert f" of {pack}, group " in explain(one.name, book).splitlines()[0]
