"""Policy: each verdict, and the order in which the questions are asked."""

import pytest

from tests.support.telemetry import ScriptedTrainer, hello, sample
from trainguard_rules import Engine, load_text
from trainguard_rules.deciding.policy import Situation, ask
from trainguard_rules.durations import Duration, Limit, Moment
from trainguard_rules.rulebook import Clause, Rule
from trainguard_rules.watching.memory import Memory
from trainguard_wire import AlertNotice, Decision, Goodbye, Intervention


def rules(*bodies, top="settle: 0 steps"):
    text = f"{top}\ngroups:\n  - name: g\n    rules:\n"
    for i, body in enumerate(bodies):
        text += f"      - {{guard: R{i}, {body}}}\n"
    return load_text(text)


[BASE] = rules("expr: loss > 1, actions: [{stop: {}}]", top="settle: 0 steps").rules
RESTORE = rules("expr: loss > 1, actions: [{restore_checkpoint: {}}]").rules[0].actions
UNLESS = Clause(BASE.when.node, "u")


def at(step):
    return Moment(step, None, float(step))


def rule(**changes):
    fields = {name: getattr(BASE, name) for name in BASE.__dataclass_fields__}
    return Rule(**{**fields, **changes})


def remembered(*steps):
    memory = Memory()
    memory.acted.extend(map(at, steps))
    return memory


FLYING = Intervention(id="X.0.9", rule="X", step=9, generation=0, expires_step=99, actions=())


@pytest.mark.parametrize(
    ("changes", "acted", "situation", "verdict", "reason"),
    [
        ({}, (), {}, "act", "loss > 1"),
        ({"for_": Duration(3, "steps")}, (), {}, "act", "held for 3 steps"),
        ({"mode": "observe"}, (), {}, "observe", "would have acted"),
        ({}, (), {"offered": None}, "hold_unsupported", "no trainer has introduced itself"),
        ({}, (), {"offered": {"scale_lr"}}, "hold_unsupported", "does not offer stop"),
        ({"unless": UNLESS}, (), {"inhibited": True}, "hold_inhibited", "unless: u"),
        ({"mode": "approve"}, (), {}, "await_approval", "waiting for a person"),
        ({"settle": Duration(3, "steps")}, (), {"settled_at": at(8)}, "hold_settling", "2 of 3 steps since an action"),
        ({"settle": Duration(3, "steps")}, (), {"settled_at": at(7)}, "act", ""),
        ({"actions": RESTORE}, (), {"restores_from": 11}, "hold_settling", "not before step 11"),
        ({"actions": RESTORE}, (), {"restores_from": 10}, "act", ""),
        ({}, (), {"restores_from": 11}, "act", ""),
        ({}, (), {"in_flight": FLYING}, "hold_in_flight", "X.0.9 is under way"),
        ({}, (), {"in_flight": FLYING, "now": at(9)}, "hold_outranked", "X.0.9 is under way"),
        ({"cooldown": Duration(5, "steps")}, (6,), {}, "hold_cooldown", "4 of 5 steps since it last acted, at step 6"),
        ({"cooldown": Duration(5, "steps")}, (5,), {}, "act", ""),
        ({"limit": Limit(2)}, (1, 2), {}, "hold_limit", "it has acted 2 times: 2 in all"),
        ({"limit": Limit(1)}, (1,), {}, "hold_limit", "it has acted once: 1 in all"),
        ({"limit": Limit(2, Duration(9, "steps"))}, (1, 2), {}, "act", ""),
        ({"limit": Limit(2, Duration(10, "steps"))}, (1, 2), {}, "hold_limit", "2 per 10 steps"),
        ({"limit": Limit(1)}, (1,), {"offered": set(), "inhibited": True}, "hold_unsupported", ""),
        ({"unless": UNLESS}, (1,), {"inhibited": True, "in_flight": FLYING}, "hold_inhibited", ""),
        ({"limit": Limit(1)}, (1,), {"in_flight": FLYING}, "hold_in_flight", ""),
        ({"limit": Limit(1), "cooldown": Duration(50, "steps")}, (1,), {}, "hold_cooldown", ""),
        ({"limit": Limit(1), "mode": "observe"}, (1,), {}, "hold_limit", ""),
    ],
)
def test_verdicts(changes, acted, situation, verdict, reason):
    """The first objection gives the verdict."""
    facts = Situation(at(10), {"stop", "restore_checkpoint"})._replace(**situation)
    answer = ask(rule(**changes), remembered(*acted), facts)
    assert answer.verdict == verdict
    assert reason in answer.reason


def test_a_decision_is_recorded_when_the_answer_changes():
    """Not on every sample that a rule goes on firing: one line for each change, none lost."""
    book = rules("expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}], cooldown: 4 steps, limit: 2")
    trainer = ScriptedTrainer(book, delay=2).run("loss", [0.0] + [2.0] * 12)
    assert trainer.verdicts() == [
        (2, "act"),
        (3, "hold_in_flight"),
        (5, "hold_cooldown"),
        (6, "act"),
        (7, "hold_in_flight"),
        (9, "hold_cooldown"),
        (10, "hold_limit"),
    ]
    assert trainer.outcomes() == [("R0.0.2.0", "applied"), ("R0.0.6.0", "applied")]


def test_restore_outranks_scale_whatever_the_order_in_the_file():
    """Two rules fire on one sample: what goes back in time acts, the other is told so."""
    book = rules(
        "expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}]",
        "expr: loss > 1, actions: [{restore_checkpoint: {}}]",
    )
    trainer = ScriptedTrainer(book, delay=1)
    trainer.run("loss", [0.0])
    trainer.checkpoint()
    trainer.run("loss", [2.0])
    assert trainer.verdicts() == [(2, "act"), (2, "hold_outranked")]
    assert [i.rule for i in trainer.interventions] == ["R1"]


@pytest.mark.parametrize("order", [("BY_LOSS", "BY_ALERT"), ("BY_ALERT", "BY_LOSS")])
def test_of_equals_the_first_in_the_file_acts(order):
    """Whether an expression or an alert fires it."""
    fired = {"BY_LOSS": "expr: loss > 1", "BY_ALERT": "alert: {a: b}"}
    rules_of = [f"{{guard: {name}, {fired[name]}, actions: [{{scale_lr: {{factor: 0.5}}}}]}}" for name in order]
    engine = Engine(load_text(f"groups: [{{name: g, rules: [{', '.join(rules_of)}]}}]"))
    engine.feed(AlertNotice(fingerprint="f", starts_at="1", status="firing", labels={"a": "b"}))
    engine.feed(hello())
    output = engine.feed(sample(1, {"loss": 2.0}))
    assert [told.rule for told in output.control] == [order[0]]


def test_unless_inhibits_the_action_and_not_the_alert():
    """The rule fires and says why it holds back; an unknown `unless` does not inhibit."""
    book = rules(
        "expr: loss > 1, actions: [{stop: {}}], unless: step < 3 or val_loss > 0",
        top="signals: [val_loss]\nsettle: 0 steps",
    )
    trainer = ScriptedTrainer(book).run("loss", [2.0, 2.0, 2.0])
    assert trainer.states() == [(1, "firing")]
    assert trainer.verdicts() == [(1, "hold_inhibited"), (3, "act")], "val_loss has never been seen"
    trainer = ScriptedTrainer(book)
    trainer.sample({"val_loss": 1.0})
    trainer.run("loss", [2.0, 2.0, 2.0])
    assert trainer.verdicts() == [(2, "hold_inhibited")]


def test_observe_says_what_it_would_have_done_and_does_nothing():
    """Its cooldown counts as if it had acted."""
    book = rules(
        "expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}], cooldown: 3 steps", top="mode: observe\nsettle: 0 steps"
    )
    trainer = ScriptedTrainer(book).run("loss", [2.0] * 5)
    assert trainer.verdicts() == [(1, "observe"), (2, "hold_cooldown"), (4, "observe"), (5, "hold_cooldown")]
    assert trainer.interventions == []
    first = next(trainer.of(Decision))
    assert [a.kind for a in first.actions] == ["scale_lr"]
    assert first.intervention is None


def test_a_rule_that_observes_settles_by_what_it_said():
    """As it would by what it had done: not a line on each sample of an incident."""
    body = "expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}]"
    watching = ScriptedTrainer(rules(body, top="mode: observe")).run("loss", [2.0] * 100)
    acting = ScriptedTrainer(rules(body, top="")).run("loss", [2.0] * 100)
    assert watching.verdicts()[:3] == [(1, "observe"), (2, "hold_settling"), (11, "observe")]
    assert watching.verdicts() == [(step, verdict.replace("act", "observe")) for step, verdict in acting.verdicts()]
    reason = list(watching.of(Decision))[1].reason
    assert reason == "1 of 10 steps since it would have acted, at step 1"


@pytest.mark.parametrize("mode", ["act", "observe"])
def test_a_rule_that_only_notifies_does_so_once_in_an_incident(mode):
    """Without a cooldown; with one, as often as that says."""
    body = f"expr: loss > 1, mode: {mode}, actions: [{{notify: {{to: x}}}}]"
    trainer = ScriptedTrainer(rules(body)).run("loss", [2.0] * 50 + [0.0] + [2.0] * 50)
    assert trainer.verdicts() == [(1, mode), (2, "hold_cooldown"), (52, mode), (53, "hold_cooldown")]
    assert len(trainer.engine.notifications.unsent) == (2 if mode == "act" else 0)
    trainer = ScriptedTrainer(rules(f"{body}, cooldown: 20 steps")).run("loss", [2.0] * 50)
    assert [step for step, verdict in trainer.verdicts() if verdict == mode] == [1, 21, 41]


def test_an_intervention_nobody_acknowledges_is_lost_when_it_expires():
    """The rule may act again; the journal tells what became of the first."""
    book = rules("expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}], expires: 3 steps")
    trainer = ScriptedTrainer(book, delay=10**6).run("loss", [2.0] * 6)
    assert trainer.verdicts() == [(1, "act"), (2, "hold_in_flight"), (5, "act"), (6, "hold_in_flight")]
    assert trainer.outcomes() == [("R0.0.1.0", "lost")]
    trainer.feed(Goodbye(step=6, generation=0, time=6.0, outcome="finished"))
    assert trainer.outcomes()[1:] == [("R0.0.5.0", "lost")]
    assert not trainer.engine.open_control()


def test_what_never_reached_the_trainer_counts_for_nothing():
    """A monitor that was down decides again: neither cooldown nor limit stand in the way of the first real answer."""
    book = rules("expr: loss > 1, actions: [{scale_lr: {factor: 0.5}}], expires: 2 steps, cooldown: 50 steps, limit: 1")
    trainer = ScriptedTrainer(book, delay=10**6).run("loss", [2.0] * 10)
    assert [step for step, verdict in trainer.verdicts() if verdict == "act"] == [1, 4, 7, 10]


def test_a_level_nobody_answered_is_not_accepted_as_normal():
    """While no answer reaches the trainer the references stay frozen, however long that takes."""
    book = rules("expr: 'loss > 2 * mean(loss, 10)', actions: [{stop: {}}], expires: 5 steps")
    trainer = ScriptedTrainer(book, delay=10**6).run("loss", [1.0] * 10 + [9.0] * 500)
    assert trainer.engine.busy
    assert len(trainer.interventions) > 50
    answered = ScriptedTrainer(book, delay=1).run("loss", [1.0] * 10 + [9.0] * 500)
    assert not answered.engine.busy


def test_a_new_trainer_process_starts_afresh():
    """What was in flight is lost, states and windows are those of the first day, limits count anew."""
    book = rules("expr: 'loss > 3 * mean(loss, 2)', actions: [{stop: {}}], limit: 1")
    trainer = ScriptedTrainer(book, delay=10**6).run("loss", [1.0, 1.0, 9.0])
    assert trainer.engine.busy
    trainer.feed(hello(generation=1))
    trainer.generation = 1
    assert trainer.outcomes() == [("R0.0.3.0", "lost")]
    assert trainer.states()[-1] == (0, "inactive")
    assert not trainer.engine.busy
    trainer.run("loss", [50.0, 50.0, 400.0])
    assert [i.id for i in trainer.interventions] == ["R0.0.3", "R0.1.6"]
