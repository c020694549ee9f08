"""The pack `seed_expectations`: six things the document expects of a run with its recipe."""

import pytest

from tests.support.telemetry import ScriptedTrainer, goodbye
from trainguard_rules import load_rules
from trainguard_wire import Reached

BOOK = load_rules(["seed_expectations"])
POOR = {
    "activation_sparsity": 0.3,
    "compressibility": 0.5,
    "confidence": 0.85,
    "class_separation": 2.0,
    "grad_norm": 1.0,
    "feature_utilization": 0.7,
}
GOOD = {name: value - 0.01 if name == "grad_norm" else value + 0.01 for name, value in POOR.items()}
EXPECTED = {
    "SeedSparsityReached": ("activation_sparsity", 20),
    "SeedCompressible": ("compressibility", 100),
    "SeedConfident": ("confidence", 100),
    "SeedClassesSeparated": ("class_separation", 100),
    "SeedGradientNormStable": ("grad_norm", 10),
    "SeedFeaturesUsed": ("feature_utilization", 100),
}


def reached(values, epochs=102):
    """What was reported of a run that always measures the same, 20 steps an epoch: met or not, in which epoch."""
    t = ScriptedTrainer(BOOK)
    for step in range(20 * epochs):
        t.sample(values, epoch=step // 20)
    assert t.interventions == []
    t.feed(goodbye(t.step))
    return {report.rule: (report.met, (report.step - 1) // 20) for report in t.of(Reached)}


def test_a_run_that_has_it_all():
    """Met on the first sample; the gradient norm when the warm-up is over."""
    assert reached(GOOD) == dict.fromkeys(EXPECTED, (True, 0)) | {"SeedGradientNormStable": (True, 5)}


def test_a_run_that_has_nothing():
    """The document's thresholds are strict; each is missed when its time is over, and reported once."""
    assert reached(POOR) == {name: (False, epochs) for name, (_, epochs) in EXPECTED.items()}


@pytest.mark.parametrize(("name", "signal"), [(name, signal) for name, (signal, _) in EXPECTED.items()])
def test_each_is_about_one_signal(name, signal):
    """One signal short, one expectation missed."""
    missed = {rule for rule, (met, _) in reached(GOOD | {signal: POOR[signal]}).items() if not met}
    assert missed == {name}


def test_a_norm_that_is_not_stable_is_not_met():
    """One in 50 steps above is enough."""
    t = ScriptedTrainer(BOOK)
    for step in range(300):
        t.sample(GOOD | {"grad_norm": 3.0 if step % 50 == 0 else 0.5}, epoch=step // 20)
    assert [r.met for r in t.of(Reached) if r.rule == "SeedGradientNormStable"] == [False]


def test_what_is_never_measured_is_missed():
    """With the reason in words."""
    t = ScriptedTrainer(BOOK)
    t.sample({"loss": 1.0}, epoch=0)
    t.sample({"loss": 1.0}, epoch=100)
    reports = list(t.of(Reached))
    assert len(reports) == 6
    assert all(not r.met and "was never measured" in r.reason for r in reports)
