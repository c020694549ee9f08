"""The pack `llm_pretraining`: rewind and skip, as it is done by hand in the largest runs."""

import math
import random

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules
from trainguard_wire import Verification

BOOK = load_rules(["llm_pretraining"])


def language_model(steps=1000, seed=0):
    """A loss that begins at 10.8 and comes down to 2.5, a checkpoint every 100 steps, a warm-up of 200."""
    t = ScriptedTrainer(BOOK, delay=3)
    t.rng = random.Random(seed)
    return go_on(t, (2.5 + 8.3 * math.exp(-k / 150) for k in range(steps)))


def go_on(t, losses, grad_norm=0.5):
    for loss in losses:
        if t.step % 100 == 0:
            t.checkpoint()
        lr = 3e-4 * min(1.0, (t.step + 1) / 200)
        t.sample({"loss": t.rng.gauss(loss, 0.05), "grad_norm": t.rng.gauss(grad_norm, 0.05), "lr": lr})
    return t


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_run_is_left_alone(seed):
    """Warm-up, the steep beginning, the long end, a data mix that moves the loss by a tenth."""
    t = language_model(3000, seed)
    go_on(t, [2.75] * 1000)
    assert t.verdicts() == []


def test_a_spike_is_rewound_and_its_data_skipped():
    """The checkpoint before it comes back, the learning rate stays, and that helps."""
    t = language_model()
    go_on(t, [4.0] * 14)
    assert t.kinds() == [("PretrainingLossSpike", ["restore_checkpoint", "skip_steps"])]
    assert t.interventions[0].step == 1011
    assert t.interventions[0].actions[0].params["before_step"] == 1001
    go_on(t, [2.5] * 300)
    assert len(t.interventions) == 1
    assert [v.helped for v in t.of(Verification)] == [True]


def test_a_spike_of_a_few_steps_passes_by_itself():
    """Nine steps, however high: nothing is done."""
    t = language_model()
    go_on(t, [8.0] * 9 + [2.5] * 50)
    assert t.verdicts() == []


def test_a_spike_that_comes_back_costs_learning_rate():
    """Where rewinding did not help, OPT's remedy: again, at half the rate."""
    t = language_model()
    go_on(t, [4.0] * 150)
    assert t.kinds()[:2] == [
        ("PretrainingLossSpike", ["restore_checkpoint", "skip_steps"]),
        ("PretrainingLossSpike", ["restore_checkpoint", "skip_steps", "scale_lr"]),
    ]


def test_a_slow_climb_is_caught():
    """0.3 % a step, which takes 500 steps from 2.5 to 11.2: before it has trebled."""
    t = language_model(1500)
    go_on(t, (2.5 * 1.003**k for k in range(500)))
    assert t.kinds()[0] == ("PretrainingLossDrift", ["restore_checkpoint", "scale_lr"])
    assert t.interventions[0].step < 1500 + 365


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number(bad):
    """Rewound at once; where it stays, at half the rate too."""
    t = language_model()
    t.sample({"loss": bad})
    assert t.kinds() == [("PretrainingLossNotFinite", ["restore_checkpoint"])]
    t.run("loss", [bad] * 200)
    assert any({"restore_checkpoint", "scale_lr"} <= set(actions) for _, actions in t.kinds())


def test_gradients_warn_and_no_more():
    """A norm of ten times the usual for some steps is an alert; overflow now and then is not even that."""
    t = language_model()
    go_on(t, [2.5] * 5, grad_norm=5.0)
    assert (1002, "firing") in t.states("PretrainingGradientSpike")
    for _ in range(100):
        t.sample({"loss": t.rng.gauss(2.5, 0.05), "grad_norm": math.inf})
        go_on(t, [2.5] * 3)
    assert t.verdicts() == []
    for _ in range(10):
        t.sample({"loss": 2.5, "grad_norm": math.inf})
    assert t.kinds() == [("PretrainingGradientNotFinite", ["restore_checkpoint"])]


def test_many_single_spikes_are_said():
    """Each passes by itself; the sixth among 1000 steps is worth a word."""
    t = language_model()
    for _ in range(6):
        assert t.states("PretrainingSpiky") == []
        go_on(t, [9.0, *[2.5] * 50])
    assert [state for _, state in t.states("PretrainingSpiky")] == ["firing"]
    assert t.verdicts() == []
