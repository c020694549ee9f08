"""What a rule may say about its own life: hysteresis, patience, verification, escalation, approval."""

from itertools import pairwise

import pytest

from tests.support.telemetry import ScriptedTrainer, hello
from trainguard_rules import RuleFileError, load_text
from trainguard_wire import Decision, Reached, Verification


def book(body, top="settle: 0 steps", name="G"):
    keys = "".join(f"        {line}\n" for line in body.strip().splitlines())
    return load_text(f"{top}\ngroups:\n  - name: g\n    rules:\n      - guard: {name}\n{keys}")


def states(body, stream, **options):
    return ScriptedTrainer(book(body), **options).run("loss", stream).states()


# -- hysteresis and patience ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "stream", "wanted"),
    [
        ("0 steps", [0, 1, 0, 1], [(2, "firing"), (3, "inactive"), (4, "firing")]),
        ("2 steps", [0, 1, 0, 1, 0, 0, 0], [(2, "firing"), (6, "inactive")]),
        ("2 steps", [1, 0, float("nan"), 0], [(1, "firing"), (4, "inactive")]),
        ("3s", [1, 0, 0, 0, 0], [(1, "firing"), (4, "inactive")]),
    ],
)
def test_keep_firing_for(keep, stream, wanted):
    """A firing rule outlasts a lapse that is shorter; the time counts from when the condition was last true."""
    assert states(f"expr: loss > 0.5\nkeep_firing_for: {keep}", stream) == wanted


def test_resolve_expr_is_a_second_threshold():
    """Between the two the rule stays as it is: firing if it was firing, inactive if it was not."""
    body = "expr: loss > 10\nresolve_expr: loss < 5"
    assert states(body, [7, 11, 7, 11, 7, 4, 7, 11]) == [(2, "firing"), (6, "inactive"), (8, "firing")]


def test_in_the_band_of_hysteresis_nothing_is_done():
    """The rule goes on firing, but only a true condition asks for action."""
    body = "expr: loss > 10\nresolve_expr: loss < 5\nactions: [{scale_lr: {factor: 0.5}}]"
    trainer = ScriptedTrainer(book(body)).run("loss", [11, 7, 7, 12, 4])
    assert [i.step for i in trainer.interventions] == [1, 4]


def test_at_onset_is_what_was_when_the_incident_began():
    """Outside of an incident it is the present."""
    body = "expr: loss > 10\nresolve_expr: loss < 0.5 * at_onset(loss)"
    assert states(body, [12, 40, 7, 6, 5.9, 20, 11, 9]) == [
        (1, "firing"),
        (5, "inactive"),
        (6, "firing"),
        (8, "inactive"),
    ]


# -- baselines -----------------------------------------------------------------------------------------------


def test_a_rolling_baseline_learns_from_the_fault():
    """As the published detectors do: the level becomes normal while the rule fires."""
    stream = [1.0] * 4 + [9.0] * 8
    assert states("expr: 'loss > 2 * mean(loss, 4)'", stream) == [(5, "firing"), (11, "inactive")]
    assert states("expr: 'loss > 2 * mean(loss, 4)'\nbaseline: rolling", stream) == [(5, "firing"), (7, "inactive")]


def test_windows_that_are_not_compared_with_the_present_roll():
    """`mean(loss, 4) > 5` has no current sample to protect its window from: frozen, it could never resolve."""
    assert states("expr: 'mean(loss, 4) > 5'", [1.0] * 4 + [9.0] * 4 + [1.0] * 4) == [(8, "firing"), (11, "inactive")]


# -- silence -------------------------------------------------------------------------------------------------


def test_absent_and_age_are_asked_on_every_sample():
    """A signal that stops coming is noticed by the samples of the others; one that never came counts from the start."""
    for signal_seen in (True, False):
        trainer = ScriptedTrainer(book("expr: absent(confidence, 5)"))
        if signal_seen:
            trainer.sample({"confidence": 0.5})
        trainer.run("loss", [1.0] * 10)
        assert trainer.states() == [(6 if signal_seen else 5, "firing")]
        trainer.sample({"confidence": 0.5})
        assert trainer.states()[-1][1] == "inactive"


def test_nonfinite_counts_what_no_other_statistic_sees():
    """Samples that are no numbers, among the last ones."""
    stream = [1.0, float("nan"), float("inf"), 1.0, 1.0, 1.0]
    assert states("expr: 'nonfinite(loss, 3) >= 2'", stream) == [(3, "firing"), (5, "inactive")]


# -- verification and escalation -----------------------------------------------------------------------------

VERIFIED = """
expr: loss > 10
actions: [{scale_lr: {factor: 0.5}}]
cooldown: 100 steps
verify: {expr: "mean(loss, 4) < 0.5 * at_onset(loss)", within: 6 steps, otherwise: OTHERWISE}
"""


def verification(trainer):
    return [(v.step, v.helped) for v in trainer.of(Verification)]


def test_an_intervention_that_helped_is_said_to():
    """`verify` looks at samples after the action only, and remembers the onset."""
    body = VERIFIED.replace("OTHERWISE", "revert")
    trainer = ScriptedTrainer(book(body), delay=1).run("loss", [5.0] * 9 + [12.0] * 2 + [3.0] * 9)
    assert verification(trainer) == [(14, True)]
    assert len(trainer.interventions) == 1


def test_one_that_did_not_help_is_reverted():
    """By the inverse of what it was observed to change."""
    body = VERIFIED.replace("OTHERWISE", "revert")
    trainer = ScriptedTrainer(book(body), delay=1, changes={"scale_lr": (0.3, 0.15)})
    trainer.run("loss", [5.0] * 9 + [12.0] * 15)
    assert verification(trainer) == [(17, False)]
    first, second = trainer.interventions
    assert second.id == "G.0.17.revert"
    assert [(a.kind, a.params) for a in second.actions] == [("scale_lr", {"factor": 2.0})]
    assert len(trainer.interventions) == 2, "a reversal is not put on trial again"
    assert first.actions[0].id != second.actions[0].id


def test_an_onset_is_captured_before_the_other_signals_of_verify_are_seen():
    """What `at_onset` asks for is enough to begin; the trial waits for the rest."""
    body = "expr: loss > 10\nactions: [{stop: {}}]\ncooldown: 100 steps\nescalate: [{stop: {}}]\n"
    body += "verify: {expr: val_loss < at_onset(loss), within: 3 steps}"
    trainer = ScriptedTrainer(book(body, top="settle: 0 steps\nsignals: [val_loss]"))
    trainer.run("loss", [5.0, 12.0, 5.0])
    trainer.run("val_loss", [9.0])
    assert verification(trainer) == [(4, True)]


def test_what_takes_itself_back_is_not_reverted():
    """A learning rate that recovers would end too high."""
    body = VERIFIED.replace("OTHERWISE", "revert").replace("{factor: 0.5}", "{factor: 0.5, recover_over: 50}")
    trainer = ScriptedTrainer(book(body), delay=1, changes={"scale_lr": (0.3, 0.15)})
    trainer.run("loss", [5.0] * 9 + [12.0] * 15)
    assert verification(trainer) == [(17, False)]
    assert len(trainer.interventions) == 1


def test_one_that_did_not_help_is_escalated():
    """Once in an incident."""
    body = VERIFIED.replace("OTHERWISE", "escalate") + "escalate: [{stop: {}}]\n"
    trainer = ScriptedTrainer(book(body), delay=1).run("loss", [5.0] * 9 + [12.0] * 30)
    assert [i.id for i in trainer.interventions] == ["G.0.10", "G.0.17.escalate"]
    assert trainer.interventions[1].actions[0].kind == "stop"
    reasons = {d.intervention: d.reason for d in trainer.of(Decision)}
    assert reasons["G.0.17.escalate"] == "escalation: G.0.10 did not help"


def test_a_trial_outlives_the_restore_it_began_with():
    """The restore ends the incident and turns the windows back; `verify` still compares with the onset."""
    body = """
expr: loss > 10
actions: [{restore_checkpoint: {}}]
cooldown: 100 steps
verify: {expr: "mean(loss, 4) < 0.5 * at_onset(loss)", within: 6 steps}
escalate: [{stop: {}}]
"""
    for after, helped in ((3.0, True), (9.0, False)):
        trainer = ScriptedTrainer(book(body), delay=1).run("loss", [5.0] * 5)
        trainer.checkpoint()
        trainer.run("loss", [5.0] * 4 + [12.0] * 2 + [after] * 20)
        assert [h for _, h in verification(trainer)] == [helped]
        assert [a.kind for i in trainer.interventions for a in i.actions][1:] == ([] if helped else ["stop"])


def test_a_refused_intervention_is_not_on_trial():
    """What did nothing can't have helped."""
    body = "expr: loss > 10\nactions: [{restore_checkpoint: {}}]\ncooldown: 100 steps\n"
    body += "verify: {expr: loss < 1, within: 2 steps}\nescalate: [{stop: {}}]"
    trainer = ScriptedTrainer(book(body)).run("loss", [12.0] * 9)
    assert verification(trainer) == []


def test_an_exhausted_limit_escalates_once():
    """The ladder's last rung."""
    body = "expr: loss > 10\nactions: [{scale_lr: {factor: 0.5}}]\nlimit: 2\nescalate: [{stop: {}}]"
    trainer = ScriptedTrainer(book(body)).run("loss", [12.0] * 9)
    assert [i.id for i in trainer.interventions] == ["G.0.1", "G.0.2", "G.0.3.escalate"]
    assert trainer.verdicts()[-1] == (4, "hold_limit")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("expr: loss > 1\nescalate: [{stop: {}}]", "7:9: .*never reached: give the rule a 'verify' or a 'limit'"),
        (
            "expr: loss > 1\nverify: {expr: loss < 1, within: 5 steps}",
            "nothing to verify: the rule does nothing to the training",
        ),
        (
            "expr: loss > 1\nactions: [{stop: {}}]\nverify: {expr: loss < 1, within: 5 steps}",
            "the rule has no 'escalate'",
        ),
        (
            "expr: loss > 1\nactions: [{stop: {}}]\nverify: {expr: loss < 1, within: 5 steps, otherwise: revert}",
            "none of its actions can be reverted",
        ),
        (
            "expr: loss > 1\nactions: [{stop: {}}]\nverify: {expr: los < 1, within: 5 steps}",
            "verify.expr: unknown signal",
        ),
        (
            "expr: loss > 1\nverify: {within: 5 steps, othrwise: revert}",
            "unknown key 'othrwise'; did you mean 'otherwise'",
        ),
    ],
)
def test_promises_that_cannot_be_kept_are_refused(body, complaint):
    """When the file is loaded, not when it comes to it."""
    with pytest.raises(RuleFileError, match=complaint):
        book(body)


# -- approval ------------------------------------------------------------------------------------------------

ASKING = "expr: loss > 10\nactions: [{scale_lr: {factor: 0.5}}]\nmode: approve\nexpires: 3 steps\ncooldown: 4 steps"


def test_an_approved_request_becomes_an_intervention():
    """Nothing is told to the trainer before; the journal says who."""
    trainer = ScriptedTrainer(book(ASKING), delay=10**6).run("loss", [12.0, 12.0])
    assert trainer.interventions == []
    assert trainer.verdicts() == [(1, "await_approval")]
    trainer.answer("nonsense", approved=True)
    trainer.answer("G.0.1", approved=True)
    assert trainer.verdicts() == [(1, "await_approval"), (2, "act")]
    assert list(trainer.of(Decision))[-1].reason == "approved by ada"
    [intervention] = trainer.interventions
    assert (intervention.step, intervention.expires_step) == (2, 5)
    trainer.answer("G.0.1", approved=True)
    assert len(trainer.interventions) == 1, "an answer counts once"


def test_an_approval_waits_for_the_air_to_be_free():
    """There is one intervention at a time, approved or not."""
    text = "settle: 0 steps\ngroups:\n  - name: g\n    rules:\n"
    text += "      - {guard: A, expr: loss > 10, actions: [{stop: {}}], mode: approve}\n"
    text += "      - {guard: B, expr: loss > 11, actions: [{scale_lr: {factor: 0.9}}], limit: 1}\n"
    trainer = ScriptedTrainer(load_text(text), delay=3).run("loss", [10.5, 12.0])
    assert [i.rule for i in trainer.interventions] == ["B"]
    trainer.answer("A.0.1", approved=True)
    assert [i.rule for i in trainer.interventions] == ["B"]
    trainer.run("loss", [12.0] * 5)
    assert [(i.rule, i.step) for i in trainer.interventions] == [("B", 2), ("A", 6)]


def test_a_denied_request_rests_for_its_cooldown():
    """Then the rule asks again, if it still fires."""
    trainer = ScriptedTrainer(book(ASKING)).run("loss", [12.0])
    trainer.answer("G.0.1", approved=False)
    trainer.run("loss", [12.0] * 5)
    assert trainer.outcomes() == [("G.0.1.0", "withdrawn")]
    assert trainer.verdicts() == [(1, "await_approval"), (2, "hold_cooldown"), (5, "await_approval")]


def test_a_request_nobody_answers_expires():
    """And is made anew while the incident lasts; it ends with the incident."""
    trainer = ScriptedTrainer(book(ASKING)).run("loss", [12.0] * 6 + [1.0] * 2)
    assert trainer.verdicts() == [(1, "await_approval"), (5, "await_approval")]
    assert trainer.outcomes() == [("G.0.1.0", "withdrawn"), ("G.0.5.0", "withdrawn")]
    trainer.answer("G.0.5", approved=True)
    assert trainer.interventions == []


def test_a_rule_book_can_be_made_stricter():
    """Never freer; a different digest, since it decides differently."""
    acting, asking = book("expr: loss > 1\nactions: [{stop: {}}]"), book(ASKING)
    assert acting.with_mode("act") is acting
    assert acting.with_mode("observe").rules[0].mode == "observe"
    assert acting.with_mode("observe").sha256 != acting.sha256
    assert asking.with_mode("act").rules[0].mode == "approve"
    assert asking.with_mode("observe").rules[0].mode == "observe"
    assert (acting.mode, acting.with_mode("observe").with_mode("approve").mode) == ("act", "observe")
    unchanged = asking.with_mode("approve")
    assert (unchanged.mode, unchanged.sha256) == ("approve", asking.sha256), "what decides the same is the same"


# -- settling and the bar on restores ------------------------------------------------------------------------


def test_after_an_action_all_rules_settle():
    """The file says for how long; ten steps where it does not."""
    text = "groups:\n  - name: g\n    rules:\n"
    text += "      - {guard: A, expr: loss > 10, actions: [{scale_lr: {factor: 0.5}}], cooldown: 100 steps}\n"
    text += "      - {guard: B, expr: loss > 11, actions: [{scale_lr: {factor: 0.9}}], cooldown: 100 steps}\n"
    trainer = ScriptedTrainer(load_text(text)).run("loss", [12.0] * 20)
    assert trainer.verdicts("A")[0] == (1, "act")
    assert trainer.verdicts("B")[:3] == [(1, "hold_outranked"), (2, "hold_settling"), (11, "act")]


def test_each_restore_raises_the_bar_for_the_next():
    """A rule file that restores at every chance can't go round in circles: the distances double."""
    trainer = ScriptedTrainer(book("expr: loss > 10\nactions: [{restore_checkpoint: {}}]", top="settle: 2 steps"))
    trainer.checkpoint()
    trainer.run("loss", [12.0] * 2000)
    steps = [i.step for i in trainer.interventions]
    assert [b - a for a, b in pairwise(steps)] == [2 * 2**k for k in range(len(steps) - 1)]


def test_an_escalation_does_not_get_round_the_bar():
    """Whatever way a restore is asked for, the distances double."""
    body = "expr: loss > 10\nactions: [{scale_lr: {factor: 0.9}}]\nlimit: 1\nescalate: [{restore_checkpoint: {}}]"
    trainer = ScriptedTrainer(book(body, top="settle: 2 steps"))
    trainer.checkpoint()
    trainer.run("loss", [12.0] * 2000)
    restores = [i.step for i in trainer.interventions if i.id.endswith(".escalate")]
    assert 5 < len(restores) <= 12
    gaps = [b - a for a, b in pairwise(restores)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 500


def test_new_ground_lowers_the_bar():
    """A run that gets further between its incidents is not punished for them."""
    top = "settle: 2 steps\ncheckpoints: {good_after: 5 steps}"
    trainer = ScriptedTrainer(book("expr: loss > 10\nactions: [{restore_checkpoint: {}}]", top=top))
    for _ in range(12):
        trainer.checkpoint()
        trainer.run("loss", [1.0] * 8 + [12.0, 1.0])
    assert len(trainer.interventions) == 12


# -- expectations --------------------------------------------------------------------------------------------


def expecting(expr, within):
    return load_text(f"groups: [{{name: g, rules: [{{expect: E, expr: '{expr}', within: {within}}}]}}]")


def reached(trainer):
    return [(r.step, r.met, r.reason) for r in trainer.of(Reached)]


def test_an_expectation_is_reported_once_when_met():
    """With the value that met it; what comes later does not matter."""
    trainer = ScriptedTrainer(expecting("confidence > 0.8", "5 steps")).run("confidence", [0.1, 0.9, 0.1, 0.95])
    assert reached(trainer) == [(2, True, "confidence > 0.8")]
    assert next(trainer.of(Reached)).value == 0.9


def test_an_expectation_is_reported_at_its_deadline_when_missed():
    """A signal that was never measured is said so."""
    trainer = ScriptedTrainer(expecting("confidence > 0.8", "3 steps")).run("confidence", [0.1] * 9)
    assert reached(trainer) == [(4, False, "not within 3 steps")]
    trainer = ScriptedTrainer(expecting("confidence > 0.8", "3 steps")).run("loss", [0.1] * 9)
    assert reached(trainer) == [(4, False, "not within 3 steps: confidence was never measured")]


def test_an_expectation_can_look_through_windows():
    """Its statistics learn every sample."""
    trainer = ScriptedTrainer(expecting("mean(loss, 2) < 1", "1 epoch"))
    for epoch, loss in ((0, 3.0), (0, 0.5), (0, 0.5), (0, 0.5)):
        trainer.sample({"loss": loss}, epoch)
    assert [(step, met) for step, met, _ in reached(trainer)] == [(4, True)]


def test_an_expectation_of_a_signal_that_comes_is_met_by_the_sample_that_brings_it():
    """Its age is 0 there, as it is for a guard."""
    text = "signals: [val_loss]\ngroups: [{name: g, rules: [{expect: E, expr: age(val_loss) == 0, within: 90 steps}]}]"
    trainer = ScriptedTrainer(load_text(text)).run("loss", [1.0] * 5)
    trainer.sample({"loss": 1.0, "val_loss": 1.0})
    assert reached(trainer) == [(6, True, "age(val_loss) == 0")]


def test_an_expectation_goes_on_in_a_process_that_measures_other_signals():
    """What the first one measured is not known there."""
    text = "signals: [x, y]\ngroups: [{name: g, rules: [{expect: E, within: 90 steps, expr: 'EXPR'}]}]"
    expr = "loss < 0 and absent(x, 5) and absent(y, 5)"
    trainer = ScriptedTrainer(load_text(text.replace("EXPR", expr))).run("x", [1.0]).run("loss", [1.0])
    trainer.feed(hello(generation=1))
    trainer.step, trainer.generation = 0, 1
    trainer.run("y", [1.0]).run("loss", [1.0] * 4 + [-1.0])
    assert reached(trainer) == [(6, True, expr)]
