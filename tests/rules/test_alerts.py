"""The life of a rule: every transition there is, and a rule through a scripted run."""

from itertools import product

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_text
from trainguard_rules.watching.alerts import advance

# (state, condition, held) -> state, with no keep_firing_for; written out, not computed
TABLE = {
    ("inactive", True, True): "firing",
    ("inactive", True, False): "pending",
    ("inactive", False, True): "inactive",
    ("inactive", False, False): "inactive",
    ("inactive", None, True): "inactive",
    ("inactive", None, False): "inactive",
    ("pending", True, True): "firing",
    ("pending", True, False): "pending",
    ("pending", False, True): "inactive",
    ("pending", False, False): "inactive",
    ("pending", None, True): "pending",
    ("pending", None, False): "pending",
    ("firing", True, True): "firing",
    ("firing", True, False): "firing",
    ("firing", False, True): "inactive",
    ("firing", False, False): "inactive",
    ("firing", None, True): "firing",
    ("firing", None, False): "firing",
}


@pytest.mark.parametrize("case", list(product(("inactive", "pending", "firing"), (True, False, None), (True, False))))
def test_every_transition(case):
    """The table is complete."""
    state, condition, held = case
    assert advance(state, condition, held=held, lapsed=True) == TABLE[case]
    kept = "firing" if state == "firing" else TABLE[case]
    assert advance(state, condition, held=held, lapsed=False) == kept


def guard(expr, **keys):
    more = "".join(f"\n        {key}: {value}" for key, value in keys.items())
    return load_text(f"groups:\n  - name: g\n    rules:\n      - guard: G\n        expr: {expr}{more}\n")


@pytest.mark.parametrize(
    ("for_", "stream", "states"),
    [
        ("0 steps", [0, 1, 1, 0], [(2, "firing"), (4, "inactive")]),
        ("1 step", [0, 1, 1, 0], [(2, "pending"), (3, "firing"), (4, "inactive")]),
        ("2 steps", [1, 1, 0, 1, 1, 1], [(1, "pending"), (3, "inactive"), (4, "pending"), (6, "firing")]),
        ("2 steps", [1, 1, float("nan"), 1], [(1, "pending"), (4, "firing")]),
        ("0 steps", [1, float("nan"), 1, 0], [(1, "firing"), (4, "inactive")]),
        ("3s", [1, 1, 1, 1], [(1, "pending"), (4, "firing")]),
    ],
)
def test_for(for_, stream, states):
    """`for` counts from the first true sample; a NaN neither confirms an incident nor ends one."""
    trainer = ScriptedTrainer(guard("loss > 0.5", **{"for": for_})).run("loss", stream)
    assert trainer.states() == states


def test_for_in_epochs():
    """Epochs are counted as the loop names them."""
    trainer = ScriptedTrainer(guard("loss > 0.5", **{"for": "2 epochs"}))
    for epoch in (0, 0, 1, 1, 2):
        trainer.sample({"loss": 1.0}, epoch)
    assert trainer.states() == [(1, "pending"), (5, "firing")]


def test_a_rule_is_evaluated_on_fresh_samples_of_its_own_signals_only():
    """What is logged every ten steps counts once in ten steps."""
    trainer = ScriptedTrainer(guard("mean(confidence, 4) > 0"))
    for step in range(40):
        trainer.sample({"loss": 1.0} | ({"confidence": 0.9} if step % 10 == 0 else {}))
    [status] = trainer.engine.status()
    assert status.evaluations == 4
    assert status.unknown == 2, "half a window has to be filled before there is a mean"


def test_a_rule_waits_until_each_of_its_signals_has_been_seen():
    """A signal that was never measured is not a NaN."""
    trainer = ScriptedTrainer(guard("not isfinite(loss) or not isfinite(grad_norm)"))
    trainer.run("loss", [1.0, 1.0])
    assert trainer.engine.status()[0].evaluations == 0
    trainer.run("grad_norm", [1.0])
    assert trainer.engine.status()[0].evaluations == 1
    trainer.run("grad_norm", [float("nan")])
    assert trainer.states() == [(4, "firing")]
    assert trainer.engine.nonfinite == {"grad_norm": 1}
