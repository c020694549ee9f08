"""The pack `stability`: acts on what no healthy run does, and on nothing else."""

import math
import random

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules

BOOK = load_rules(["stability"])


def trainer(steps=300, level=2.5, noise=0.05, seed=0, decay=0.0):
    """A healthy beginning with a checkpoint every 50 steps."""
    t = ScriptedTrainer(BOOK, delay=3)
    t.rng = random.Random(seed)
    for step in range(steps):
        if step % 50 == 0:
            t.checkpoint()
        t.sample({"loss": t.rng.gauss(level * math.exp(-decay * step), noise), "grad_norm": 1.0})
    return t


def kinds(t):
    return [(i.rule, [a.kind for a in i.actions]) for i in t.interventions]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("signal", "guard"), [("loss", "LossNotFinite"), ("grad_norm", "GradientNotFinite")])
def test_a_value_that_is_no_number_is_acted_on_at_once(signal, guard, bad):
    """Restore and halve, on the sample itself; one intervention for one bad value."""
    t = trainer()
    t.sample({"loss": 2.5, "grad_norm": 1.0} | {signal: bad})
    assert kinds(t) == [(guard, ["restore_checkpoint", "scale_lr"])]
    assert t.interventions[0].step == 301
    for _ in range(100):
        t.sample({"loss": t.rng.gauss(2.5, 0.05), "grad_norm": 1.0})
    assert len(t.interventions) == 1


@pytest.mark.parametrize("factor", [1.8, 2.4, 4.0, 100.0])
def test_a_loss_that_stays_far_up_is_acted_on_within_five_steps(factor):
    """A plateau of 1.8 times the level is enough, at any height."""
    t = trainer()
    t.run("loss", [2.5 * factor] * 6)
    assert [i.step for i in t.interventions] == [305]
    assert kinds(t)[0][0] == "LossFarAboveBaseline"


def test_a_single_bad_batch_is_not_acted_on():
    """One spike, even a huge one, passes by itself; neither does it hide the next."""
    t = trainer()
    for _ in range(5):
        t.run("loss", [500.0])
        t.run("loss", [t.rng.gauss(2.5, 0.05) for _ in range(15)])
    assert t.interventions == []
    t.run("loss", [5.0] * 6)
    assert len(t.interventions) == 1


@pytest.mark.parametrize(
    "healthy",
    [
        lambda: trainer(2000),
        lambda: trainer(2000, level=2.5, noise=0.5),
        lambda: trainer(2000, decay=0.003, noise=0.02),
        lambda: trainer(2000, level=-10.0, noise=1.0),
        lambda: trainer(2000, level=88.0, noise=0.5),
        lambda: trainer(2000, level=0.0, noise=1e-4),
        lambda: trainer(2000, level=1e-6, noise=0.0),
    ],
    ids=["flat", "noisy", "falling", "negative", "offset", "around zero", "constant"],
)
def test_healthy_losses_of_any_kind_are_left_alone(healthy):
    """No unit of the model's is in the rules: level, sign and spread do not matter."""
    assert healthy().interventions == []


def test_heavy_tails_are_left_alone():
    """Student t with 2 degrees of freedom: single losses far out, never five in a row."""
    t = trainer()
    for _ in range(3000):
        noise = t.rng.gauss(0, 1) / math.sqrt(t.rng.expovariate(1.0))
        t.sample({"loss": 2.5 + 0.05 * noise, "grad_norm": 1.0})
    assert t.interventions == []


def test_a_new_level_that_is_held_becomes_normal():
    """A guard is not frozen for ever by a change of data: after one window more it has learned the new level."""
    t = trainer()
    t.run("loss", [t.rng.gauss(6.0, 0.05) for _ in range(1200)])
    acted = len(t.interventions)
    assert acted <= 5
    t.run("loss", [t.rng.gauss(6.0, 0.05) for _ in range(1000)])
    assert len(t.interventions) == acted
    assert not t.engine.busy
