"""The packs under `published/`: other people's detectors, with their exact numbers."""

import math
import random
import re

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules, shipped_packs

PACKS = sorted(name.removeprefix("published/") for name in shipped_packs() if name.startswith("published/"))
CALM = {"loss": 2.5, "grad_norm": 1.0, "lr": 0.1, "step_seconds": 0.1, "update_ratio": 1e-3, "dead_units": 0.1}


def trainer(pack, steps=200, noise=0.0):
    """A calm beginning, with an epoch every 10 steps."""
    t, rng = ScriptedTrainer(load_rules([f"published/{pack}"])), random.Random(0)
    t.checkpoint()
    for step in range(steps):
        t.sample(CALM | {name: CALM[name] + rng.gauss(0, noise) for name in ("loss", "grad_norm")}, epoch=step // 10)
    return t


def fired(t, rule):
    return [step for step, state in t.states(rule) if state == "firing"]


@pytest.mark.parametrize("pack", PACKS)
def test_each_says_what_it_is(pack):
    """What is theirs, what is ours, what can't be said in our language, and what it is blind to."""
    head = re.sub(r"\n#", "", shipped_packs()[f"published/{pack}"].partition("\n\n")[0])
    assert head.startswith(f"# published/{pack}: ")
    for word in ("Theirs:", "Ours:", "Not expressible:", "Blind to:"):
        assert word in head


def test_all_packs_can_stand_in_one_book():
    """No guard's name is used twice, so any of them can be compared in one run."""
    assert load_rules(shipped_packs()).rules


THRESHOLDS = [  # pack, guard, what changes, a value on this side, one on that
    ("olmo_skip_step", "OlmoSkipLoss", "loss", 2.5 + 5e-2, 2.5 + 7e-2),
    ("olmo_skip_step", "OlmoSkipGradient", "grad_norm", 1 + 5e-2, 1 + 7e-2),
    ("olmo_stability_monitor", "OlmoLossSpike", "loss", 2.5 + 5e-2, 2.5 + 7e-2),
    ("olmo_stability_monitor", "OlmoGradientSpike", "grad_norm", 1 + 5e-2, 1 + 7e-2),
    ("llm_c", "LlmcLossOutlier", "loss", 2.5 + 6e-2, 2.5 + 1.2e-1),
    ("llm_c", "LlmcGradientOutlier", "grad_norm", 1 + 6e-2, 1 + 1.2e-1),
    ("lightning_spike_detection", "LightningSpike", "loss", 7.4, 7.6),
    ("megatron_spiky", "MegatronSpikyLoss", "loss", 24.9, 25.5),
    ("megatron_spiky", "MegatronSpikyGradient", "grad_norm", 9.9, 10.5),
    ("internevo", "InternEvoLossSpike", "loss", 3.7, 3.8),
    ("entrenar", "EntrenarLossSpike", "loss", 7.4, 7.6),
    ("trainpulse", "TrainpulseLossSpike", "loss", 12.4, 12.6),
    ("trainpulse", "TrainpulseGradientExploding", "grad_norm", 100.0, 100.1),
    ("trainpulse", "TrainpulseGradientVanishing", "grad_norm", 0.0, 9e-8),
    ("trainpulse", "TrainpulseLrJump", "lr", 1.0, 1.01),
    ("trainpulse", "TrainpulseStepTime", "step_seconds", 0.299, 0.301),
    ("trainscope_cusum", "TrainscopeZScore", "loss", 2.5 + 3e-2, 2.5 + 4.2e-2),
    ("wandb_zscore", "WandbZScore", "loss", 2.5 + 2e-2, 2.5 + 4.5e-2),
    ("zclip", "ZClipGradientSpike", "grad_norm", 1 + 2e-2, 1 + 3.5e-2),
    ("gradience_guard", "GradienceLoss", "loss", 1e6, 1.1e6),
    ("gradience_guard", "GradienceGradient", "grad_norm", 100.0, 101.0),
    ("sagemaker_debugger", "SagemakerVanishingGradient", "grad_norm", 1e-7, 9e-8),
    ("sagemaker_debugger", "SagemakerWeightUpdateRatio", "update_ratio", 10.0, 10.1),
    ("sagemaker_debugger", "SagemakerDeadRelu", "dead_units", 0.5, 0.51),
]


@pytest.mark.parametrize(("pack", "rule", "signal", "below", "above"), THRESHOLDS)
def test_each_fires_at_its_own_threshold(pack, rule, signal, below, above):
    """On a calm run with a standard deviation of 0.01: not on this side of the published number, but on that."""
    for value, times in ((below, 0), (above, 1)):
        t = trainer(pack, noise=0.01)
        before = len(fired(t, rule))
        t.sample(CALM | {signal: value}, epoch=20)
        assert len(fired(t, rule)) - before == times


@pytest.mark.parametrize(
    ("pack", "rule"),
    [
        ("olmo_skip_step", "OlmoSkipLoss"),
        ("lightning_spike_detection", "LightningNotFinite"),
        ("megatron_spiky", "MegatronNotFinite"),
        ("trainpulse", "TrainpulseNotFinite"),
        ("dlib_divergence", "DlibNotFinite"),
        ("gradience_guard", "GradienceLoss"),
        ("sagemaker_debugger", "SagemakerExplodingTensor"),
    ],
)
def test_those_that_know_of_nan(pack, rule):
    """They fire on it at once; all others compare false, here unknown."""
    t = trainer(pack)
    t.sample(CALM | {"loss": math.nan}, epoch=20)
    assert fired(t, rule)[-1:] == [201]


@pytest.mark.parametrize(
    ("pack", "rule", "level", "patience"),
    [
        ("llm_foundry_kill_loss_spike", "FoundryLossSpike", 6.0, 5),
        ("axolotl_watchdog", "AxolotlLossAboveThreshold", 101.0, 3),
        ("soup_watchdog", "SoupLossAboveThreshold", 3.1, 5),
    ],
)
def test_patience(pack, rule, level, patience):
    """So many in a row, and not one less."""
    t = trainer(pack)
    t.run("loss", [level] * (patience - 1))
    t.run("loss", [2.5] * 5)
    assert fired(t, rule) == []
    t.run("loss", [level] * patience)
    assert len(fired(t, rule)) == 1


def test_foundry_high_loss_after_two_windows():
    """Half of a window above 10."""
    t = trainer("llm_foundry_kill_loss_spike", steps=0)
    t.run("loss", [11.0] * 300)
    assert fired(t, "FoundryHighLoss") == [201]


def test_foundry_is_content_with_no_more_than_it_began_with():
    """The cap is the highest loss of the first window, where that is lower than 10."""
    t = trainer("llm_foundry_kill_loss_spike", steps=0)
    t.run("loss", [4.0, *[3.0] * 249, *[4.1] * 100])
    assert fired(t, "FoundryHighLoss") == [300]


def test_soup_recovers_three_times_then_stops():
    """Half the learning rate each time."""
    t = trainer("soup_watchdog", steps=50)
    t.run("loss", [9.0] * 400)
    kinds = [[a.kind for a in i.actions] for i in t.interventions]
    assert kinds[:4] == [["restore_checkpoint", "scale_lr"]] * 3 + [["stop"]]


@pytest.mark.parametrize(
    ("pack", "patience", "kind"),
    [("torch_reduce_on_plateau", 11, "scale_lr"), ("lightning_early_stopping", 3, "stop")],
)
def test_validation_without_a_better_value(pack, patience, kind):
    """Patience in epochs, from the best one."""
    t = trainer(pack)
    for epoch, value in enumerate([1.0, 0.5, *[0.6] * 14], start=20):
        t.sample({"val_loss": value}, epoch=epoch)
    assert t.interventions[0].step == 202 + patience
    assert t.interventions[0].actions[0].kind == kind


def test_trainpulse_plateau():
    """A hundred steps without a loss lower by 1e-5."""
    for gain, step in ((9e-6, 101), (1.1e-5, 102)):
        t = trainer("trainpulse", steps=0)
        t.run("loss", [2.5, *[2.5 - gain] * 150])
        assert fired(t, "TrainpulsePlateau") == [step]


def test_torch_wants_a_relative_gain():
    """Lower by a ten-thousandth of the best: less does not count, more does."""
    for gain, reductions in ((0.9e-4, 1), (1.1e-4, 0)):
        t = trainer("torch_reduce_on_plateau")
        values = [0.5, *[0.5 * (1 - gain)] * 11]
        for epoch, value in enumerate(values, start=20):
            t.sample({"val_loss": value}, epoch=epoch)
        assert len(t.interventions) == reductions


def test_megatron_keeps_the_highest_of_the_first_hundred():
    """It speaks from the next value on, and a large value that it missed raises no threshold."""
    t = trainer("megatron_spiky", steps=0)
    t.run("loss", [-3.0, *[2.5] * 98, 29.0, 29.0, 289.0, 2.5, 290.0, 2.5, 290.0])
    assert fired(t, "MegatronSpikyLoss") == [104, 106]


def test_trainscope_sees_a_small_shift():
    """Two and a half deviations, each of them unremarkable, add up within a few steps; either way."""
    for shift in (0.05, -0.05):
        t, rng = trainer("trainscope_cusum", steps=300, noise=0.02), random.Random(1)
        before = len(fired(t, "TrainscopeCusum"))
        t.run("loss", [rng.gauss(2.5 + shift, 0.02) for _ in range(20)])
        assert len(fired(t, "TrainscopeCusum")) > before


def test_trainscope_starts_afresh_after_a_report():
    """One huge value is reported once, and has not to wear off."""
    t = trainer("trainscope_cusum", steps=300, noise=0.02)
    before = len(fired(t, "TrainscopeCusum"))
    t.run("loss", [25.0, *[2.5] * 5])
    assert len(fired(t, "TrainscopeCusum")) == before + 1
    assert t.states("TrainscopeCusum")[-1] == (302, "inactive")


def test_dlib_goes_back_when_the_loss_rises():
    """At the next check, and not between."""
    t, rng = trainer("dlib_divergence", steps=1000, noise=0.05), random.Random(1)
    t.run("loss", [rng.gauss(2.5 + step / 500, 0.05) for step in range(400)])
    assert [i.step for i in t.interventions if i.step > 1000] == [1250]


def test_sagemaker_finds_healthy_runs_unhealthy():
    """A loss that is lower than ten steps ago by 0.1 %: noise decides, on every second step. And overfitting."""
    t = trainer("sagemaker_debugger", steps=300, noise=0.05)
    assert len(fired(t, "SagemakerLossNotDecreasing")) > 50
    t.sample({"val_loss": 2.5}, epoch=30)
    assert fired(t, "SagemakerOverfit") == []
    t.sample({"val_loss": 3.5}, epoch=30)
    assert len(fired(t, "SagemakerOverfit")) == 1
