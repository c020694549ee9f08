"""Blind spots of published detectors, each on the series it was found on, and that our packs don't have them.

The series: a loss of 2.5 with normal noise of 0.05, unless noted. The published packs fail as they are known to;
`stability` sees the fault, acts where action is due, or recovers.
"""

import math
import random

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules, load_text, shipped_packs
from trainguard_wire import Verification


def base(steps, seed=0):
    rng = random.Random(seed)
    return [rng.gauss(2.5, 0.05) for _ in range(steps)]


def play(pack, losses, text=None):
    """The losses, from step 1, with a checkpoint every 50."""
    t = ScriptedTrainer(load_text(text) if text else load_rules([pack]), delay=3)
    for i, loss in enumerate(losses):
        if i % 50 == 0:
            t.checkpoint()
        t.sample({"loss": loss})
    return t


def true_on(t, rule, state="firing"):
    """The steps on which a rule was firing (or pending)."""
    steps, since = [], None
    for step, after in [*t.states(rule), (t.step + 1, "end")]:
        if since is not None:
            steps += range(since, step)
        since = step if after == state else None
    return steps


def seen(t):
    """Where our guard on the level began to look."""
    return [step for step, state in t.states("LossFarAboveBaseline") if state == "pending"]


def acted(t):
    return [(i.step, i.rule) for i in t.interventions]


def put(losses, changes):
    """The series with some values replaced, by step."""
    losses = list(losses)
    for step, value in changes.items():
        losses[step - 1] = value
    return losses


def test_a_single_nan_is_not_129_of_them():
    """OLMo's gate skips the NaN and the 128 healthy steps after it; here it is one incident, and over."""
    losses = put(base(700), {300: math.nan})
    assert true_on(play("published/olmo_skip_step", losses), "OlmoSkipLoss") == list(range(300, 429))
    ours = play("stability", losses)
    assert acted(ours) == [(300, "LossNotFinite")]
    assert [v.helped for v in ours.of(Verification)] == [True]
    assert not ours.engine.busy


def test_a_spike_does_not_mask_the_next():
    """Mean + 6 sd with the spike in the window: two of four are missed. Frozen medians see all four."""
    losses = put(base(600), {300: 20.0, 320: 5.0, 350: 5.0, 430: 5.0})
    for pack, rule in (("olmo_skip_step", "OlmoSkipLoss"), ("olmo_stability_monitor", "OlmoLossSpike")):
        assert true_on(play(f"published/{pack}", losses), rule) == [300, 430]
    assert seen(play("stability", losses)) == [300, 320, 350, 430]
    assert true_on(play("llm_pretraining", losses), "PretrainingLossSpike", "pending") == [300, 320, 350, 430]


def test_a_score_that_includes_the_value_is_bounded():
    """No value reaches 127 / sqrt(128) = 11.2 deviations of a window of 128 that contains it."""
    losses = put(base(400), {300: 1e6})
    text = shipped_packs()["published/llm_c"]
    assert true_on(play("", losses, text), "LlmcLossOutlier") == [300]
    assert true_on(play("", losses, text.replace("limit: 7", "limit: 11.3")), "LlmcLossOutlier") == []
    assert seen(play("stability", losses)) == [300]


def test_a_nan_does_not_switch_the_guard_off():
    """Running sums never recover from one: 1500 steps later nothing is seen. Here the next fault is."""
    losses = put(base(1800), {200: math.nan} | dict.fromkeys(range(1700, 1720), 100.0))
    assert true_on(play("published/llm_c", losses), "LlmcLossOutlier") == []
    assert acted(play("stability", losses))[:2] == [(200, "LossNotFinite"), (1704, "LossFarAboveBaseline")]


@pytest.mark.parametrize(("jump", "theirs"), [(25.0, False), (100.0, False), (109.0, True)])
def test_the_beginning_of_a_run_is_no_measure_for_its_end(jump, theirs):
    """Ten times the highest of the first 100 steps of a language model is 107.6: a tenfold loss passes below it."""
    losses = [loss + 8.26 * math.exp(-i / 100) for i, loss in enumerate(base(1000))]
    losses = put(losses, {1: 10.76} | dict.fromkeys(range(901, 921), jump))
    assert (901 in true_on(play("published/megatron_spiky", losses), "MegatronSpikyLoss")) is theirs
    assert acted(play("stability", losses))[0] == (905, "LossFarAboveBaseline")


def foundry(losses):
    return true_on(play("published/llm_foundry_kill_loss_spike", losses), "FoundryLossSpike")


def test_a_plateau_is_seen_by_both():
    """20 steps at 2.4 times the level."""
    losses = put(base(600), dict.fromkeys(range(300, 320), 6.0))
    assert foundry(losses)[0] == 304
    assert acted(play("stability", losses)) == [(304, "LossFarAboveBaseline")]


def test_a_short_spike_is_seen_and_passes():
    """3 steps at 20 times: theirs sees nothing. Ours looks, lets it pass, and is ready for the plateau after it."""
    losses = put(base(600), dict.fromkeys(range(300, 303), 50.0) | dict.fromkeys(range(320, 340), 5.0))
    assert foundry(losses) == []
    ours = play("stability", losses)
    assert seen(ours)[:2] == [300, 320]
    assert acted(ours) == [(324, "LossFarAboveBaseline")]


def test_a_nan_does_not_hide_what_follows():
    """60 steps at 3.6 times, 30 steps after one NaN."""
    losses = put(base(600), {270: math.nan} | dict.fromkeys(range(300, 360), 9.0))
    assert foundry(losses) == []
    assert acted(play("stability", losses))[:2] == [(270, "LossNotFinite"), (304, "LossFarAboveBaseline")]


def test_a_multiple_of_a_short_mean_misses_and_masks():
    """3 x the mean of 10: jumps to 2 and 2.96 times are missed, one to 3.1 ten steps later is masked."""
    losses = put(base(600), {300: 5.0, 400: 7.4, 410: 7.75})
    assert true_on(play("published/lightning_spike_detection", losses), "LightningSpike") == []
    assert seen(play("stability", losses)) == [300, 400, 410]


@pytest.mark.parametrize("level", [2.0, 2.96])
def test_a_jump_below_the_multiple_is_caught(level):
    """A lasting one: theirs never fires, ours acts within five steps."""
    losses = base(300) + [level * 2.5] * 100
    assert true_on(play("published/lightning_spike_detection", losses), "LightningSpike") == []
    assert acted(play("stability", losses))[0] == (305, "LossFarAboveBaseline")


@pytest.mark.parametrize("seed", range(3))
def test_slow_divergence(seed):
    """0.3 % a step for 500 steps, 2.5 to 11.2: no multiple of a recent mean sees it. Both of ours stop it."""
    rng = random.Random(seed)
    losses = base(500, seed) + [rng.gauss(2.5 * 1.003**k, 0.05) for k in range(500)]
    for pack, rule in (
        ("olmo_skip_step", "OlmoSkipLoss"),
        ("olmo_stability_monitor", "OlmoLossSpike"),
        ("lightning_spike_detection", "LightningSpike"),
        ("llm_foundry_kill_loss_spike", "FoundryLossSpike"),
        ("entrenar", "EntrenarLossSpike"),
        ("trainpulse", "TrainpulseLossSpike"),
        ("internevo", "InternEvoLossSpike"),
        ("megatron_spiky", "MegatronSpikyLoss"),
    ):
        assert true_on(play(f"published/{pack}", losses), rule) == [], pack
    for pack, rule in (("stability", "LossClimbing"), ("llm_pretraining", "PretrainingLossDrift")):
        (step, first), *_ = acted(play(pack, losses))
        assert first == rule
        assert step < 850
    dlib = [step for step, _ in acted(play("published/dlib_divergence", losses)) if step > 500]
    assert dlib, "a slope is the right family"


def test_a_ratio_to_the_previous_value_sees_an_edge_only():
    """A loss three times as high for 100 steps: theirs is true once. And a NaN is unknown to it."""
    losses = put(base(600), {200: math.nan} | dict.fromkeys(range(300, 400), 7.5))
    theirs = play("published/internevo", losses)
    assert true_on(theirs, "InternEvoLossSpike") == [300]
    assert [status.unknown for status in theirs.engine.status()] == [2]  # the first step has no previous value
    ours = play("stability", losses)
    assert acted(ours)[:2] == [(200, "LossNotFinite"), (304, "LossFarAboveBaseline")]


def test_patience_is_counted_in_samples():
    """A loss logged every ten steps and once above the threshold is one sample, not ten in a row."""
    t = ScriptedTrainer(load_rules(["published/axolotl_watchdog"]))
    for step in range(1, 60):
        t.sample({"grad_norm": 1.0} | ({"loss": 500.0 if step == 20 else 2.5} if step % 10 == 0 else {}))
    assert t.interventions == []
