"""Notifications: decided like anything else, sent by the monitor, and nothing to the training."""

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import RuleFileError, load_text
from trainguard_wire import Action, Decision, Delivered, Order, Outcome

RULES = """
settle: 20 steps
signals: [grad]
groups:
  - name: g
    rules:
      - guard: Spike
        expr: loss > 10
        actions: [{scale_lr: {factor: 0.5}}, {notify: {to: oncall}}]
        cooldown: 5 steps
        labels: {severity: critical}
        annotations: {summary: "loss {loss:.1f} at step {step}"}
      - guard: Tells
        expr: grad > 3
        actions: [{notify: {to: chat, message: "{rule}: {value:.2f} and {loss:g}"}}]
        cooldown: 4 steps
        limit: 2 per 100 steps
      - guard: Reasons
        expr: grad > 30
        actions: [{notify: {to: chat}}]
"""


def run(values, delay=10**6):
    trainer = ScriptedTrainer(load_text(RULES), delay=delay)
    for loss, grad in values:
        trainer.sample({"loss": float(loss), "grad": float(grad)})
    return trainer


def open_ones(trainer):
    return [(n.id, n.to, n.message) for n in trainer.engine.notifications.unsent]


def test_the_trainer_never_hears_of_it():
    """Of a rule that does both, it gets its part, and the journal has the whole."""
    trainer = run([(1, 0), (20, 0)], delay=0)
    [intervention] = trainer.interventions
    assert [action.kind for action in intervention.actions] == ["scale_lr"]
    [decision] = trainer.of(Decision)
    assert [action.id for action in decision.actions] == ["Spike.0.2.0", "Spike.0.2.1"]
    assert open_ones(trainer) == [("Spike.0.2.1", "oncall", "loss 20.0 at step 2")]
    assert trainer.engine.notifications.unsent[0].labels == {"severity": "critical"}
    assert [(o.action, o.status) for o in trainer.of(Outcome)] == [("Spike.0.2.0", "applied")]


def test_nothing_that_is_under_way_stands_in_its_way():
    """Neither an intervention in flight nor the time after one; but cooldown and limit do."""
    trainer = run([(20, 0), *[(20, 5)] * 12])
    assert trainer.verdicts("Tells") == [
        *((2, "act"), (3, "hold_cooldown"), (6, "act"), (7, "hold_cooldown"), (10, "hold_limit"))
    ]
    assert trainer.verdicts("Spike")[0] == (1, "act")
    assert len(trainer.interventions) == 1
    assert [message for _, to, message in open_ones(trainer) if to == "chat"] == ["Tells: 5.00 and 20"] * 2


def test_without_words_it_gives_the_reason():
    """A message of its own, else the rule's summary, else why."""
    trainer = run([(1, 31)])
    assert ("Reasons.0.1.0", "chat", "grad > 30") in open_ones(trainer)


def test_what_became_of_it_comes_back_as_an_input():
    """Once; of what was never sent, or is answered, there is nothing to say."""
    trainer = run([(1, 5)])
    engine = trainer.engine
    for status, reason in (("failed", "the webhook answered 500"), ("applied", "")):
        record = Delivered(action="Tells.0.1.0", status=status, reason=reason, time=9.0, after_record=engine.records)
        assert engine.is_news(record) == (status == "failed")
        trainer.take(engine.feed(record))
    assert not engine.is_news(Delivered(action="Tells.0.7.0", status="applied"))
    assert open_ones(trainer) == []
    [outcome] = trainer.of(Outcome)
    assert (outcome.rule, outcome.intervention, outcome.kind) == ("Tells", "Tells.0.1", "notify")
    assert (outcome.status, outcome.reason, outcome.step, outcome.time) == (
        "failed",
        "the webhook answered 500",
        1,
        9.0,
    )


def test_a_new_trainer_process_does_not_make_it_moot():
    """What was decided is told, whatever became of the training."""
    trainer = run([(1, 5)])
    trainer.feed(trainer.telemetry[0].__class__(step=1, generation=1, time=1.0, run="r", pid=2, signals=(), actions=()))
    assert len(open_ones(trainer)) == 1


def test_a_person_may_send_one_by_hand():
    """On the way of all orders; a trainer that is busy is no matter."""
    trainer = run([(20, 0)])
    params = {"to": "oncall", "message": "look at this"}
    order = Order(id="o1", actions=(Action(id="", kind="notify", params=params),), by="ada", after_record=2)
    trainer.take(trainer.engine.feed(order))
    assert open_ones(trainer)[-1] == ("manual.o1.0", "oncall", "look at this")
    assert len(trainer.interventions) == 1


@pytest.mark.parametrize("mode", ["observe", "approve"])
def test_modes_hold_for_it(mode):
    """In mode observe nothing is sent; in mode approve not before somebody agreed."""
    trainer = ScriptedTrainer(load_text(RULES.replace("settle:", f"mode: {mode}\nsettle:")))
    trainer.sample({"loss": 1.0, "grad": 5.0})
    assert open_ones(trainer) == []
    if mode == "approve":
        trainer.answer("Tells.0.1", approved=True)
        assert open_ones(trainer) == [("Tells.0.1.0", "chat", "Tells: 5.00 and 1")]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("actions: [{notify: {}}]", "notify: missing key 'to'"),
        ("actions: [{notify: {to: on-call}}]", "notify: 'on-call' is not a name"),
        ("actions: [{notify: {to: oncall, mesage: hi}}]", "notify: unknown key 'mesage'; did you mean 'message'"),
        ("actions: [{notify: {to: a, message: '{lr.x}'}}]", "unknown field {lr.x}"),
        (
            "actions: [{notify: {to: a}}], verify: {expr: loss < 1, within: 5 steps}, escalate: [{stop: {}}]",
            "there is nothing to verify: the rule does nothing to the training",
        ),
    ],
)
def test_what_is_refused_when_the_file_is_loaded(keys, complaint):
    """A webhook's name is a name, a message one of the rule's own fields."""
    with pytest.raises(RuleFileError, match=complaint.replace("{", "[{]")):
        load_text(f"groups: [{{name: g, rules: [{{guard: G, expr: loss > 1, {keys}}}]}}]")
