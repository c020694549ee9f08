"""The pack `seed_early_warnings`: the document's four early warning signs, as written."""

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules

BOOK = load_rules(["seed_early_warnings"])
CALM = {"grad_norm": 1.0, "activation_sparsity": 0.4, "confidence": 0.9, "class_separation": 3.0}


def trainer(epoch=40, steps=30, **changes):
    """Thirty calm steps, and as many changed ones."""
    t = ScriptedTrainer(BOOK)
    for _ in range(30):
        t.sample(CALM, epoch=epoch)
    for _ in range(steps):
        t.sample(CALM | changes, epoch=epoch)
    return t


@pytest.mark.parametrize(
    ("changes", "guard", "step", "action", "params"),
    [
        ({"grad_norm": 5.1}, "SeedGradientNormHigh", 51, "scale_lr", {"factor": 0.5, "min": 1e-5}),
        (
            {"activation_sparsity": 0.09},
            "SeedSparsityLate",
            31,
            "scale_weight_decay",
            {"factor": 2, "min": 0.0, "max": 0.01},
        ),
        ({"confidence": 0.59}, "SeedConfidenceLow", 31, "diagnose", {"probe": "collapse"}),
    ],
)
def test_each_sign_has_the_documents_remedy(changes, guard, step, action, params):
    """Beyond its threshold, with its verb, once in its cooldown; the gradient norm only if it stays there."""
    [intervention] = trainer(**changes).interventions
    assert (intervention.rule, intervention.step) == (guard, step)
    assert [(a.kind, a.params) for a in intervention.actions] == [(action, params)]


def test_poor_class_separation_is_only_said():
    """The document names no remedy: an alert, and no decision."""
    t = trainer(class_separation=0.9)
    assert t.states("SeedClassSeparationLow") == [(31, "firing")]
    assert t.verdicts() == []


def test_thresholds_are_strict():
    """Exactly at the threshold nothing happens: the document writes > and <."""
    t = trainer(grad_norm=5.0, activation_sparsity=0.1, confidence=0.6, class_separation=1.0)
    assert t.states() == []


def test_a_norm_that_comes_back_is_not_consistent():
    """Nineteen steps above, one below, and again."""
    t = ScriptedTrainer(BOOK)
    for step in range(200):
        t.sample({"grad_norm": 1.0 if step % 20 == 0 else 8.0})
    assert t.interventions == []


def test_sparsity_is_not_asked_for_before_epoch_30():
    """Epochs 0 to 29 are the 30 the document gives it."""
    assert trainer(epoch=29, activation_sparsity=0.01).interventions == []
    assert len(trainer(epoch=30, activation_sparsity=0.01).interventions) == 1
