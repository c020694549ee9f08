"""The engine as a fold: restores, generations, checkpoints, and that the same telemetry gives the same decisions."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.telemetry import ALL_ACTIONS, ScriptedTrainer, goodbye, hello, sample, saved
from trainguard_rules import Engine, load_text
from trainguard_rules.checkpoints import KEPT
from trainguard_wire import Ack, Decision, Heartbeat, Intervention, Promoted, Promotion, encode

SPIKE = """
settle: 0 steps
checkpoints: {good_after: 5 steps}
groups:
  - name: g
    rules:
      - guard: Spike
        expr: loss > 3 * mean(loss, 4)
        for: 1 step
        actions: [{restore_checkpoint: {}}, {scale_lr: {factor: 0.5}}]
        cooldown: 3 steps
        annotations: {summary: "loss {loss:.1f} against {rule}, value {value:.1f} at {step}"}
"""


def book():
    return load_text(SPIKE)


def spiking(delay=2):
    trainer = ScriptedTrainer(book(), delay=delay)
    trainer.run("loss", [1.0] * 6)
    trainer.checkpoint()
    trainer.run("loss", [1.0] * 10)
    trainer.checkpoint()
    return trainer.run("loss", [10.0] * 4).run("loss", [1.0] * 6)


def test_an_incident_from_onset_to_recovery():
    """Pending at the first high loss, firing at the next; the restore ends the incident."""
    trainer = spiking()
    [intervention] = trainer.interventions
    assert intervention.id == "Spike.0.18"
    assert intervention.expires_step == 118
    restore, scale = intervention.actions
    assert restore.params == {"which": "last_good", "rewind": "none", "before_step": 17}
    assert scale.params == {"factor": 0.5, "min": 0.0}
    assert trainer.states() == [(17, "pending"), (18, "firing"), (20, "inactive")]
    assert trainer.outcomes() == [("Spike.0.18.0", "applied"), ("Spike.0.18.1", "applied")]
    assert trainer.engine.generation == 1
    decision = next(trainer.of(Decision))
    assert decision.summary == "loss 10.0 against Spike, value 10.0 at 18"
    assert decision.onset == 17


def test_windows_go_back_to_the_checkpoints_step():
    """After a restore the mean is the one of when the checkpoint was taken."""
    trainer = ScriptedTrainer(book()).run("loss", [1.0, 2.0, 3.0, 4.0])
    trainer.checkpoint()
    trainer.run("loss", [5.0, 6.0, 7.0, 8.0])
    watch = trainer.engine._watches[0]
    trainer.feed(Ack(step=8, generation=1, time=8.0, action="by hand", kind="restore_checkpoint", status="applied",
                     checkpoint=4))  # fmt: skip
    assert watch.programs[0].statistics[0].value == 2.5


def test_windows_of_the_newest_good_checkpoint_are_kept():
    """However many are saved after it that are no good."""
    trainer = ScriptedTrainer(book(), delay=10**6).run("loss", [1.0, 2.0, 1.0, 3.0])
    trainer.checkpoint()
    trainer.run("loss", [2.0] * 16)
    assert [p.checkpoint for p in trainer.of(Promoted)] == [4]
    for _ in range(3 * KEPT):
        trainer.run("loss", [10.0])
        trainer.checkpoint()
    assert len(list(trainer.of(Promoted))) == 1
    trainer.feed(Ack(step=trainer.step, generation=1, time=99.0, action="by hand", kind="restore_checkpoint",
                     status="applied", checkpoint=4))  # fmt: skip
    assert trainer.engine._watches[0].programs[0].statistics[0].value == 1.75


def test_samples_of_an_older_generation_are_ignored_and_counted():
    """They speak of weights that are gone."""
    trainer = spiking()
    before = trainer.engine.status()
    trainer.engine.feed(sample(30, {"loss": 99.0}, generation=0))
    assert trainer.engine.late == 1
    assert trainer.engine.status() == before


@pytest.mark.parametrize(
    ("seconds", "expires"), [(2.0, 118), (0.01, 118), (0.0005, 2018)], ids=["slow", "even", "fast"]
)
def test_an_intervention_is_good_for_a_second_at_least(seconds, expires):
    """Where a hundred steps are over sooner than a busy machine lets the monitor look."""
    engine = Engine(book())
    told = []
    losses = [1.0] * 16 + [10.0] * 2
    for record in [hello(), *(sample(step, {"loss": loss}) for step, loss in enumerate(losses, start=1))]:
        told += engine.feed(replace(record, time=100.0 + record.step * seconds)).control
    assert [(control.step, control.expires_step) for control in told] == [(18, expires)]


def test_where_no_time_passes_the_rule_alone_says_how_long():
    """Clocks that stand still, or go back, are no reason to wait for ever."""
    for times in (lambda step: 7.0, lambda step: 100.0 - step):
        engine = Engine(book())
        records = [hello(), *(sample(step, {"loss": 1.0 if step < 17 else 10.0}) for step in range(1, 19))]
        [told] = [c for record in records for c in engine.feed(replace(record, time=times(record.step))).control]
        assert told.expires_step == 118


def test_a_generation_whose_beginning_was_lost_is_taken_up():
    """If the acknowledgement of a restore never reached the disk, the samples after it tell."""
    trainer = ScriptedTrainer(book(), delay=10**6).run("loss", [1.0] * 6 + [10.0] * 3)
    trainer.generation = 1
    trainer.run("loss", [1.0])
    assert trainer.engine.generation == 1
    assert trainer.states()[-1] == (10, "inactive")


def test_a_checkpoint_is_good_after_healthy_steps_only():
    """One taken in an incident never is; for the others the count begins anew after an incident."""
    trainer = ScriptedTrainer(book(), delay=10**6).run("loss", [1.0] * 4)
    trainer.checkpoint()  # step 4
    trainer.run("loss", [1.0] * 2 + [10.0])  # pending at 7
    trainer.checkpoint()  # step 7, in an incident
    trainer.run("loss", [1.0] * 12)
    assert [(p.step, p.checkpoint) for p in trainer.of(Promoted)] == [(12, 4)]
    assert trainer.engine.open_control() == [Promotion(checkpoint=4, step=12, generation=0)]


def test_what_is_saved_after_the_restored_checkpoint_does_not_count():
    """Candidates younger than what was restored are not promoted."""
    trainer = ScriptedTrainer(book()).run("loss", [1.0] * 4)
    trainer.checkpoint()
    trainer.run("loss", [1.0] * 3)
    trainer.checkpoint()
    trainer.feed(Ack(step=7, generation=1, time=7.0, action="by hand", kind="restore_checkpoint", status="applied",
                     checkpoint=4))  # fmt: skip
    trainer.generation = 1
    trainer.run("loss", [1.0] * 20)
    assert [p.checkpoint for p in trainer.of(Promoted)] == [4]


def test_a_refused_action_is_an_outcome_and_no_new_generation():
    """No good checkpoint: the run goes on as it is."""
    trainer = ScriptedTrainer(book()).run("loss", [1.0] * 6 + [10.0] * 3)
    assert trainer.outcomes() == [("Spike.0.8.0", "refused"), ("Spike.0.8.1", "applied")]
    assert trainer.engine.generation == 0


def test_records_that_decide_nothing():
    """Heartbeats, foreign acknowledgements and goodbyes go by."""
    engine = Engine(book())
    for record in (
        Heartbeat(step=0, generation=0, time=0.0),
        Ack(step=0, generation=0, time=0.0, action="?", kind="scale_lr", status="applied"),
        goodbye(0),
    ):
        assert engine.feed(record) == ([], [])
    assert engine.records == 3


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "expr": st.sampled_from(
                [
                    "loss > 2 * prev(loss)",
                    "loss > 2 * mean(loss, 5)",
                    "loss - median(loss, 6) > 3 * median(abs(loss - median(loss, 6)), 6)",
                    "not isfinite(loss) or not isfinite(grad_norm)",
                    "since_best(loss, steps) >= 7",
                    "since_best(loss, epochs) >= 1",
                    "grad_norm > 3",
                    "epoch < 1",
                    "abs(zscore(loss, 8)) > 3 or robust_zscore(loss, 8) > 5",
                    "loss > ewma(loss, 6) + 2 * std(loss, 6)",
                    "loss > 2 * quantile(loss, 0.9, 7) or loss > 3 * max(loss, 5)",
                    "share(loss > 2, 6) > 0.3",
                    "cusum(loss - median(loss, 5), 0.5) > 3",
                    "cusum(loss - median(loss, 5), 0.5, restart=3) >= 3 or since_best(loss, steps, 0.1, 0.1) >= 9",
                    "loss > 1.5 * initial(max(loss, 5), 5)",
                    "slope(loss, 6) > 0.5 or delta(loss) > 4 * mad(loss, 9)",
                    "absent(grad_norm, 3) or nonfinite(loss, 4) >= 1",
                    "loss > 1.5 * at_onset(loss) or loss > 5",
                ]
            ),
            "for": st.sampled_from(["0 steps", "1 step", "3 steps", "1 epoch", "4s"]),
            "cooldown": st.sampled_from(["0 steps", "5 steps", "1 epoch"]),
            "expires": st.sampled_from(["2 steps", "20 steps"]),
            "unless": st.sampled_from(["step < 10", "mean(loss, 3) > 100"]),
            "mode": st.sampled_from(["act", "act", "observe", "approve"]),
            "keep_firing_for": st.sampled_from(["0 steps", "2 steps"]),
            "actions": st.sampled_from(
                ["[{restore_checkpoint: {}}, {scale_lr: {factor: 0.5}}]", "[{scale_lr: {factor: 0.5}}]", "[{stop: {}}]"]
            ),
        },
        optional={
            "limit": st.sampled_from(["1", "2 per 15 steps"]),
            "resolve_expr": st.sampled_from(["loss < 0.9", "loss < 0.5 * at_onset(loss)"]),
            "baseline": st.sampled_from(["frozen", "rolling"]),
            "verify": st.sampled_from(
                [
                    '{expr: "mean(loss, 3) < at_onset(loss)", within: 4 steps}',
                    "{expr: loss < 0.9, within: 2 steps}",
                ]
            ),
        },
    ),
    min_size=1,
    max_size=5,
)


def rule_file(rules):
    text = "settle: 1 step\ncheckpoints: {good_after: 6 steps}\ngroups:\n  - name: g\n    rules:\n"
    for i, rule in enumerate(rules):
        if "limit" in rule or "verify" in rule:
            rule = rule | {"escalate": "[{save_checkpoint: {}}]"}
        text += f"      - guard: R{i}\n" + "".join(f"        {key}: {value}\n" for key, value in rule.items())
    return load_text(text)


def random_run(rules, seed, delay):
    """A run with spikes, NaNs, missing signals, checkpoints and a trainer restart."""
    rng = random.Random(seed)
    trainer = ScriptedTrainer(rule_file(rules), delay=delay)
    for i in range(80):
        loss = rng.choice([rng.gauss(1, 0.1)] * 8 + [rng.expovariate(0.1), float("nan")])
        values = {"loss": loss} if rng.random() < 0.9 else {}
        if rng.random() < 0.7:
            values["grad_norm"] = rng.choice([1.0, 2.0, 5.0, float("inf")])
        trainer.sample(values, epoch=i // 20 if rng.random() < 0.95 else None)
        if i % 9 == 0:
            trainer.checkpoint()
        open_requests = [d.intervention for d in trainer.of(Decision) if d.verdict == "await_approval"]
        if open_requests and rng.random() < 0.3:
            trainer.answer(rng.choice(open_requests), approved=rng.random() < 0.7)
        if rng.random() < 0.01:
            trainer.generation += 1
            trainer.feed(hello(trainer.step, trainer.generation, actions=rng.sample(ALL_ACTIONS, 5)))
    trainer.feed(goodbye(trainer.step, trainer.generation))
    return trainer


@settings(max_examples=60, deadline=None)
@given(rules=RULES, seed=st.integers(0, 10**6), delay=st.integers(0, 6))
def test_the_same_telemetry_gives_the_same_decisions_byte_for_byte(rules, seed, delay):
    """A second engine that reads what the first has seen says the same, and so does a third from any prefix on."""
    trainer = random_run(rules, seed, delay)
    live = [encode(record) for record in trainer.journal]
    assert live or not trainer.interventions
    again = Engine(rule_file(rules))
    replayed = [encode(record) for fed in trainer.telemetry for record in again.feed(fed).journal]
    assert replayed == live
    assert again.status() == trainer.engine.status()


@settings(max_examples=60, deadline=None)
@given(rules=RULES, seed=st.integers(0, 10**6), delay=st.integers(0, 6))
def test_one_intervention_at_a_time_and_each_ends_in_outcomes(rules, seed, delay):
    """No two are in flight together; every action issued has exactly one outcome by the end of the run."""
    trainer = random_run(rules, seed, delay)
    issued = {action.id for i in trainer.interventions for action in i.actions}
    assert len(issued) == sum(len(i.actions) for i in trainer.interventions)
    answered = Counter(action for action, _ in trainer.outcomes() if action in issued)
    assert answered == Counter(issued)
    decided = [d.intervention for d in trainer.of(Decision) if d.verdict == "act"]
    assert decided == [i.id for i in trainer.interventions]


@pytest.mark.parametrize("gap", [1, 5])
def test_open_control_is_what_a_late_monitor_still_has_to_say(gap):
    """Whatever was decided and neither answered nor expired."""
    trainer = ScriptedTrainer(book(), delay=10**6).run("loss", [1.0] * 6 + [10.0] * 2)
    [intervention] = trainer.interventions
    trainer.run("loss", [10.0] * gap)
    assert trainer.engine.open_control() == [intervention]
    trainer.step += 200
    trainer.run("loss", [10.0])
    open_now = trainer.engine.open_control()
    assert intervention not in open_now
    assert all(isinstance(message, Intervention) and message.step == trainer.step for message in open_now)


def test_saved_checkpoints_of_another_generation_are_no_candidates():
    """A checkpoint announced late belongs to weights that are gone."""
    engine = Engine(book())
    engine.feed(hello(generation=2))
    engine.feed(saved(0, generation=1))
    for step in range(1, 30):
        engine.feed(sample(step, {"loss": 1.0}, generation=2))
    assert engine.open_control() == []
