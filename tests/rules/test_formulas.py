"""Parameters that are computed when a rule decides."""

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import RuleFileError, load_text
from trainguard_rules.explain.deeds import told
from trainguard_wire.journal import Decision

RULES = """\
groups:
  - name: g
    rules:
      - guard: Jumped
        expr: lr > 3 * median(lr, 10)
        actions:
          - set_lr: {{lr: "{formula}"}}
        cooldown: 100 steps
"""


def trainer_under(formula: str) -> ScriptedTrainer:
    return ScriptedTrainer(load_text(RULES.format(formula=formula)))


def feed(trainer: ScriptedTrainer, rates: list[float]) -> list[Decision]:
    trainer.run("lr", rates)
    return list(trainer.of(Decision))


def test_the_number_is_that_of_the_moment():
    """And what the rule compares with is frozen while it fires, so the formula has it as it was before."""
    trainer = trainer_under("median(lr, 10)")
    decision = feed(trainer, [0.1] * 20 + [3.0] * 3)[0]
    assert decision.verdict == "act"
    assert [(action.kind, action.params) for action in decision.actions] == [("set_lr", {"lr": 0.1, "hold": False})]
    assert decision.step == 21


@pytest.mark.parametrize(
    ("formula", "complaint"),
    [
        ("median(lr, 10) - 1", "set_lr: lr is median(lr, 10) - 1, which is -0.9: Input should be greater than 0"),
        ("grad_norm", "set_lr: lr is grad_norm, and that is not known, or not finite"),
        ("log(0 * lr)", "set_lr: lr is log(0 * lr), and that is not known, or not finite"),
    ],
)
def test_a_number_that_the_action_cannot_have_holds_the_rule(formula: str, complaint: str):
    [decision] = feed(trainer_under(formula), [0.1] * 20 + [3.0] * 3)
    assert (decision.verdict, decision.reason) == ("hold_unsupported", complaint)


@pytest.mark.parametrize(
    ("formula", "complaint"),
    [
        ("median(lrr, 10)", "<text>:7:34: .* unknown signal 'lrr'; did you mean 'lr'"),
        ("lr > 1", "<text>:7:27: .* 'lr > 1' is a comparison where a number is wanted"),
        ("", "<text>:7:27: .* 'lr' should have at least 1 character"),
    ],
)
def test_mistakes_are_found_where_they_stand(formula: str, complaint: str):
    with pytest.raises(RuleFileError, match=complaint):
        load_text(RULES.format(formula=formula))


def test_windows_of_formulas_are_rolled_back_like_all_others():
    """Checkpoint at a rate of 0.1, restored after ten steps at 0.2: the formula is back at 0.1."""
    rules = RULES.format(formula="median(lr, 10)").replace("- set_lr", "- restore_checkpoint: {}\n          - set_lr")
    trainer = ScriptedTrainer(load_text(rules.replace("100 steps", "1 step").replace("lr > 3", "lr > 1.5")))
    feed(trainer, [0.1] * 20)
    trainer.checkpoint()
    first, *_ = feed(trainer, [0.2, 0.1, 0.1])
    assert first.actions[1].params["lr"] == 0.1
    assert trainer.generation == 1


def test_an_explanation_has_the_formula_in_words():
    rule = load_text(RULES.format(formula="median(lr, 10)")).rules[0]
    assert "sets the learning rate to what median(lr, 10) is then; the schedule goes on" in told(rule.actions[0])
