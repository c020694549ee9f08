"""What a restore, a new trainer process and a look back at the journal leave of the past, and what they do not."""

import pytest

from tests.support.telemetry import ScriptedTrainer, goodbye, hello, sample, saved
from trainguard_rules import CatchUp, Engine, load_text
from trainguard_rules.durations import Moment
from trainguard_rules.stats.base import between, later
from trainguard_wire import Ack, Action, AlertNotice, Derived, Order, Promotion
from trainguard_wire.chain import Chain


def book(body, top=""):
    keys = "".join(f"        {line}\n" for line in body.strip().splitlines())
    return load_text(f"{top}\ngroups:\n  - name: g\n    rules:\n      - guard: G\n{keys}")


def restored(trainer, checkpoint):
    """The trainer went back to a checkpoint by hand."""
    trainer.generation += 1
    values = {"step": trainer.step, "generation": trainer.generation, "time": float(trainer.step)}
    trainer.feed(Ack(**values, action="?", kind="restore_checkpoint", status="applied", checkpoint=checkpoint))


# -- restores ------------------------------------------------------------------------------------------------


def test_steps_in_which_a_signal_came_do_not_count_as_silence():
    """One that comes each 200 steps is not absent because the run went back 500; one that comes no more is in time."""
    trainer = ScriptedTrainer(book("expr: absent(val_loss, 300)", top="signals: [val_loss]"))
    for step in range(1, 1001):
        trainer.sample({"loss": 1.0} | ({"val_loss": 1.0} if step % 200 == 0 else {}))
        if step == 500:
            trainer.checkpoint()
    restored(trainer, 500)
    trainer.run("loss", [1.0] * 299)
    assert trainer.states() == []
    trainer.run("loss", [1.0])
    assert trainer.states() == [(1300, "firing")], "it came at step 1000, and no more"


def test_the_steps_that_were_rolled_back_do_not_count_as_silence():
    """A loop that counts from the checkpoint on evaluates as many steps after it as it would have then."""
    trainer = ScriptedTrainer(book("expr: absent(val_loss, 300)", top="signals: [val_loss]"))
    for step in range(1, 1400):
        if step == 1199:
            restored(trainer, 601)
        after = step if step < 1199 else step - 598
        trainer.sample({"loss": 1.0} | ({"val_loss": 1.0} if after % 200 == 0 else {}))
        if step == 601:
            trainer.checkpoint()
    assert trainer.states() == []


@pytest.mark.parametrize("checkpoint", [599, 601, 999])
def test_a_signal_that_came_in_the_steps_that_were_rolled_back_was_heard(checkpoint):
    """The loop goes on counting, and so does the rhythm of its evaluations, wherever the checkpoint was taken."""
    trainer = ScriptedTrainer(book("expr: absent(val_loss, 300)", top="signals: [val_loss]"))
    for step in range(1, 1401):
        trainer.sample({"loss": 1.0} | ({"val_loss": 1.0} if step % 200 == 0 else {}))
        if step == checkpoint:
            trainer.checkpoint()
        if step == 1001:
            restored(trainer, checkpoint)
    assert trainer.states() == []


@pytest.mark.parametrize(("unit", "wait"), [("steps", 300), ("seconds", 300), ("epochs", 3)])
def test_the_steps_that_were_rolled_back_do_not_count_as_stagnation(unit, wait):
    """The lowest so far is as old as it was at the checkpoint."""
    trainer = ScriptedTrainer(book(f"expr: since_best(loss, {unit}) >= {wait}"))
    for step in range(1, 1001):
        trainer.sample({"loss": 2000.0 - step}, epoch=step // 100)
        if step == 500:
            trainer.checkpoint()
    restored(trainer, 500)
    for step in range(1001, 1400):
        trainer.sample({"loss": 1501.0}, epoch=step // 100)
    assert trainer.states() == [(1300, "firing")]


def test_moments_can_be_later():
    """In epochs only where both are known."""
    gone = between(Moment(5, 1, 10.0), Moment(9, 3, 12.5))
    assert gone == Moment(4, 2, 2.5)
    assert later(Moment(1, 0, 0.0), gone) == Moment(5, 2, 2.5)
    assert later(Moment(1, None, 0.0), gone) == Moment(5, None, 2.5)
    assert later(Moment(1, 7, 0.0), between(Moment(5, None, 0.0), Moment(9, 3, 0.0))) == Moment(5, 7, 0.0)


def test_windows_of_expectations_go_back_too():
    """What came after the checkpoint brings none of them nearer."""
    text = "groups: [{name: g, rules: [{expect: E, expr: 'mean(loss, 10) > 5', within: 900 steps}]}]"
    trainer = ScriptedTrainer(load_text(text)).run("loss", [1.0] * 50)
    trainer.checkpoint()
    trainer.run("loss", [9.0] * 5)
    restored(trainer, 50)
    trainer.run("loss", [9.0] * 5)
    assert trainer.journal == [], "the mean of ten, five of them 9, is 5"
    trainer.run("loss", [9.0] * 2)
    assert [reached.step for reached in trainer.journal] == [62]


# -- new processes -------------------------------------------------------------------------------------------


def test_what_is_ordered_before_the_first_sample_is_good_for_the_new_process():
    """Not for the steps of the one that died."""
    trainer = ScriptedTrainer(book("expr: loss > 9")).run("loss", [1.0] * 1000)
    trainer.feed(hello(generation=1))
    actions = (Action(id="", kind="scale_lr", params={"factor": 0.5}), Action(id="", kind="restore_checkpoint"))
    trainer.take(trainer.engine.feed(Order(id="x", actions=actions, by="ada", after_record=trainer.engine.records)))
    [intervention] = trainer.interventions
    assert (intervention.step, intervention.expires_step) == (0, 100)
    assert intervention.actions[1].params["before_step"] == 0
    assert trainer.engine.step == 0


def test_the_cooldown_of_an_alert_rule_begins_in_the_new_process():
    """An alert that comes before its first sample is answered there, and the next after the cooldown."""
    alerts = "alert: {a: b}\ncooldown: 100 steps\nactions: [{scale_lr: {factor: 0.5}}]"
    engine = Engine(book(alerts))
    engine.feed(hello())
    for step in range(1, 1001):
        engine.feed(sample(step, {"loss": 1.0}))
    engine.feed(hello(generation=1))
    [first] = engine.feed(AlertNotice(fingerprint="f", starts_at="1", status="firing", labels={"a": "b"})).control
    assert (first.id, first.expires_step) == ("G.1.0", 100)
    action = first.actions[0].id
    engine.feed(Ack(step=1, generation=1, time=1.0, action=action, kind="scale_lr", status="applied"))
    for step in range(1, 151):
        engine.feed(sample(step, {"loss": 1.0}, generation=1))
    [second] = engine.feed(AlertNotice(fingerprint="f", starts_at="2", status="firing", labels={"a": "b"})).control
    assert second.id == "G.1.150"


def test_an_expectation_ends_with_the_process_that_was_watched():
    """One that gave no sample has nothing to report."""
    text = "groups: [{name: g, rules: [{expect: E, expr: loss < 0, within: 900 steps}]}]"
    trainer = ScriptedTrainer(load_text(text)).run("loss", [1.0] * 5)
    trainer.feed(hello(generation=1))
    trainer.feed(goodbye(0, generation=1))
    assert trainer.journal == []


# -- hindsight -----------------------------------------------------------------------------------------------

TRUSTING = book("expr: loss > 9", top="checkpoints: {good_after: 5 steps}")
PATIENT = book("expr: loss > 9", top="checkpoints: {good_after: 15 steps}")


def looked_back(rules, then, steps):
    """These rules, after so many steps that were judged by others."""
    old, new, journal = Engine(then), Engine(rules), []
    records = [hello(), saved(0), *(sample(step, {"loss": 1.0}) for step in range(1, steps + 1))]
    for record in records:
        journal += old.feed(record).journal
    catchup = CatchUp(new, rules.sha256, Chain("old", 0, [r for r in journal if isinstance(r, Derived)], [], []))
    for record in records:
        catchup.feed(record)
    catchup.finish()
    assert catchup.resume().missing == []
    return new


def test_in_hindsight_no_checkpoint_is_found_good_that_was_not():
    """The trainer is told what is on record; what these rules trust sooner is found good from now on, on record."""
    engine = looked_back(TRUSTING, PATIENT, steps=10)
    assert engine.open_control() == []
    output = engine.feed(sample(11, {"loss": 1.0}))
    assert [(p.step, p.checkpoint) for p in output.journal] == [(11, 0)]
    assert output.control == engine.open_control() == [Promotion(checkpoint=0, step=11, generation=0)]


def test_in_hindsight_a_checkpoint_that_was_found_good_is():
    """Once."""
    engine = looked_back(PATIENT, TRUSTING, steps=10)
    assert engine.open_control() == [Promotion(checkpoint=0, step=5, generation=0)]
    for step in range(11, 30):
        assert engine.feed(sample(step, {"loss": 1.0})).journal == []
