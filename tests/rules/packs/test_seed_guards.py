"""The pack `seed_guards`: the document's six guards, as written, misfires included."""

import math
import random

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules

BOOK = load_rules(["seed_guards"])
CALM = {"loss": 1.0, "grad_norm": 1.0, "activation_sparsity": 0.4, "confidence": 0.9}


def trainer(**changes):
    t = ScriptedTrainer(BOOK)
    t.checkpoint()
    for _ in range(60):
        t.sample(CALM, epoch=5)
    t.sample(CALM | changes, epoch=5)
    return t


@pytest.mark.parametrize(
    ("changes", "guard", "action", "params"),
    [
        ({"grad_norm": 10.1}, "SeedGradientNorm", "scale_lr", {"factor": 0.5, "min": 1e-5}),
        (
            {"loss": 2.1},
            "SeedLossSpike",
            "restore_checkpoint",
            {"which": "last_good", "rewind": "none", "before_step": 61},
        ),
        ({"activation_sparsity": 0.09}, "SeedSparsity", "scale_weight_decay", {"factor": 2, "min": 0.0, "max": 0.01}),
        ({"confidence": 0.49}, "SeedConfidence", "diagnose", {"probe": "collapse"}),
    ],
)
def test_each_guard_does_what_the_document_says(changes, guard, action, params):
    """At its threshold, with its verb."""
    t = trainer(**changes)
    [intervention] = t.interventions
    assert intervention.rule == guard
    assert [(a.kind, a.params) for a in intervention.actions] == [(action, params)]


def test_thresholds_are_strict():
    """Exactly at the threshold nothing happens: the document writes > and <."""
    assert trainer(grad_norm=10.0, loss=2.0, activation_sparsity=0.1, confidence=0.5).interventions == []


def test_warm_up_lays_the_ceiling_once():
    """In the first five epochs only."""
    t = ScriptedTrainer(BOOK)
    for i, epoch in enumerate((0, 0, 1, 4, 5, 6)):
        t.sample(CALM | {"loss": 1 - i / 10}, epoch=epoch)
    [intervention] = t.interventions
    assert intervention.rule == "SeedWarmup"
    assert intervention.actions[0].params == {"start_lr": 0.01, "base_lr": 0.3, "over": 5, "unit": "epochs"}


def test_plateau_is_counted_in_epochs():
    """Five epochs without a lower loss; then the same patience again."""
    t = ScriptedTrainer(BOOK)
    for epoch in range(5, 22):
        for _ in range(3):
            t.sample(CALM, epoch=epoch)
    assert [i.rule for i in t.interventions] == ["SeedPlateau"] * 3
    assert [i.step for i in t.interventions] == [16, 31, 46]


def test_a_noisy_healthy_loss_is_restored_again_and_again():
    """Known misfire: small minibatches double their loss by chance. Only the bar on restores holds it back."""
    t, rng = ScriptedTrainer(BOOK), random.Random(0)
    t.checkpoint()
    for _ in range(800):
        t.sample(CALM | {"loss": rng.expovariate(1.0)}, epoch=5)
    assert sum(i.rule == "SeedLossSpike" for i in t.interventions) >= 8
    held = [step for step, verdict in t.verdicts("SeedLossSpike") if verdict == "hold_settling"]
    assert len(held) > 100


def test_a_falling_negative_loss_is_always_doubled():
    """Known misfire: -10.1 > 2 * -10, though the run is getting better."""
    t = ScriptedTrainer(BOOK)
    for loss in (-10.0, -10.1, -10.2):
        t.sample(CALM | {"loss": loss}, epoch=5)
    assert [i.rule for i in t.interventions] == ["SeedLossSpike", "SeedLossSpike"]


def test_a_diverged_loss_is_seen_for_one_step_only():
    """Known misfire: once high, the ratio to the previous loss is one."""
    t = trainer(loss=50.0)
    for _ in range(50):
        t.sample(CALM | {"loss": 50.0}, epoch=5)
    assert [i.rule for i in t.interventions] == ["SeedLossSpike"]


def test_a_nan_is_never_seen():
    """Known misfire: a NaN compares false; here it is at least counted as unknown."""
    t = trainer(loss=math.nan, grad_norm=math.nan)
    assert t.interventions == []
    unknown = {status.name: status.unknown for status in t.engine.status()}
    assert unknown["SeedLossSpike"] == 2
    assert unknown["SeedGradientNorm"] == 1
