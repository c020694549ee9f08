"""Rules that go on in another mode: what they did counts, what they only said or asked does not."""

import pytest

from tests.rules.deciding.story import RULES, story, take_over
from tests.support.telemetry import ScriptedTrainer, sample
from trainguard_rules import CatchUp, Engine, RuleBook, load_text
from trainguard_wire import Derived, Input, Intervention, Outcome, Telemetry
from trainguard_wire.chain import Chain

ACTS = """
settle: 0 steps
groups:
  - name: g
    rules:
      - guard: G
        expr: loss > 10
        actions: [{scale_lr: {factor: 0.5}}]
        cooldown: 50 steps
        limit: 2
"""


def go_on(past: ScriptedTrainer, book: RuleBook) -> ScriptedTrainer:
    """The same training, judged by another book from now on."""
    chain = Chain("old", 0, [record for record in past.journal if isinstance(record, Input | Derived)], [], [])
    future = ScriptedTrainer(book, past.delay)
    future.engine = Engine(book)
    catchup = CatchUp(future.engine, book.sha256, chain)
    for record in past.telemetry:
        if isinstance(record, Telemetry):
            catchup.feed(record)
    catchup.finish()
    future.journal.clear()
    future.step, future.generation = past.step, past.generation
    return future


@pytest.mark.parametrize("seed", range(10))
def test_nothing_acts_in_mode_observe(seed: int) -> None:
    """Whatever was pending, on trial, before a person or approved when it began; only what people order is done."""
    came, made = story(seed)
    for at in (1, len(came) // 3, len(came) * 2 // 3):
        engine, _ = take_over(load_text(RULES).with_mode("observe"), came, made, at)
        assert {i.rule for i in engine.open_control() if isinstance(i, Intervention)} <= {"manual"}
        assert engine.requests == []
        for record in came[at:]:
            told = [message for message in engine.feed(record).control if isinstance(message, Intervention)]
            assert {intervention.rule for intervention in told} <= {"manual"}
        assert engine.requests == []


def test_what_a_rule_only_said_does_not_count_once_it_may_act() -> None:
    """Neither for its cooldown nor for its limit; as long as it observes, it counts."""
    book = load_text(ACTS)
    watched = ScriptedTrainer(book.with_mode("observe")).run("loss", [1.0] * 5 + [12.0] * 60)
    assert watched.verdicts() == [(6, "observe"), (7, "hold_cooldown"), (56, "observe"), (57, "hold_cooldown")]
    assert go_on(watched, book.with_mode("observe")).run("loss", [12.0] * 60).verdicts() == [(106, "hold_limit")]
    acting = go_on(watched, book).run("loss", [12.0] * 60)
    assert acting.verdicts()[0] == (66, "act")
    assert [intervention.step for intervention in acting.interventions] == [66, 116]


def test_what_a_rule_did_counts_when_it_only_observes() -> None:
    """And what it decided that the trainer has not been told is not told any more, and lost."""
    book = load_text(ACTS)
    acting = ScriptedTrainer(book, delay=1000).run("loss", [12.0])
    assert [message.id for message in acting.engine.open_control()] == ["G.0.1"]
    watching = go_on(acting, book.with_mode("observe"))
    assert watching.engine.open_control() == []
    assert [i.id for i in watching.engine.in_flight] == ["G.0.1"], "it may have been told just before"
    watching.run("loss", [12.0] * 120)
    assert watching.outcomes() == [("G.0.1.0", "lost")]
    assert watching.verdicts()[0] == (2, "hold_in_flight")
    assert watching.interventions == []


@pytest.mark.parametrize("mode", ["act", "observe"])
def test_a_request_ends_with_the_mode_that_made_it(mode: str) -> None:
    """On record, with the next sample; until then nobody can answer it any more. A rule that may act does, once."""
    book = load_text(ACTS)
    asking = ScriptedTrainer(book.with_mode("approve")).run("loss", [12.0])
    assert [request.id for request in asking.engine.requests] == ["G.0.1"]
    after = go_on(asking, book.with_mode(mode))
    assert after.engine.requests == []
    after.take(after.engine.feed(sample(2, {"loss": 12.0})))
    outcome = after.journal[0]
    assert isinstance(outcome, Outcome)
    assert (outcome.action, outcome.status, outcome.reason) == (
        "G.0.1.0",
        "withdrawn",
        f"the rule's mode is {mode} now",
    )
    assert after.verdicts() == [(2, mode)]
    assert len(after.interventions) == (mode == "act")


def test_a_request_goes_on_where_the_rule_still_asks() -> None:
    """Under other rules of the same mode."""
    asking = ScriptedTrainer(load_text(ACTS).with_mode("approve")).run("loss", [12.0])
    after = go_on(asking, load_text(ACTS + "# other\n").with_mode("approve")).run("loss", [12.0])
    assert [request.id for request in after.engine.requests] == ["G.0.1"]
    assert after.journal == []
