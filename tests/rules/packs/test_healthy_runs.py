"""No false alarm on real runs: recorded healthy trainings of many kinds, replayed (benchmarks/record_healthy.py)."""

import gzip
import math
from functools import cache
from pathlib import Path

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules
from trainguard_wire.codec import decode_telemetry

FOLDER = Path(__file__).parents[1] / "data" / "healthy"
RUNS = sorted(path.name.removesuffix(".jsonl.gz") for path in FOLDER.glob("*.jsonl.gz"))


@cache
def recorded(run):
    with gzip.open(FOLDER / f"{run}.jsonl.gz") as file:
        return [decode_telemetry(line).values for line in file]


def replay(pack, run):
    """A run through an engine, with a checkpoint every 50 steps."""
    t = ScriptedTrainer(load_rules([pack]), delay=3)
    for i, values in enumerate(recorded(run)):
        if i % 50 == 0:
            t.checkpoint()
        t.sample(values)
    return t


def test_there_are_many_kinds_and_they_are_small():
    """Loss, gradient norm and learning rate of every step; falling and level, positive and negative losses."""
    assert len(RUNS) >= 20
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000
    for run in RUNS:
        samples = recorded(run)
        assert 800 <= len(samples) <= 1600
        assert all(values.keys() == {"loss", "grad_norm", "lr"} for values in samples)
        assert all(map(math.isfinite, (x for values in samples for x in values.values())))
    last = [recorded(run)[-1]["loss"] for run in RUNS]
    assert min(last) < 0 < max(last)
    assert min(map(abs, last)) < 2e-4
    assert max(last) > 1000


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("pack", ["stability", "llm_pretraining"])
def test_a_healthy_run_is_left_alone(pack, run):
    """Not one decision; and checkpoints become good, so that there is something to go back to."""
    t = replay(pack, run)
    assert t.verdicts() == []
    assert len(t.engine.open_control()) > 5


def test_stability_does_not_even_warn():
    """No guard of the pack fires on any of them, not even those that only observe."""
    fired = {(run, step) for run in RUNS for step, state in replay("stability", run).states() if state == "firing"}
    assert fired == set()


def test_the_seeds_guards_would_have_intervened_in_most():
    """For comparison: doubling losses and norms above 10 are everyday things."""
    assert sum(bool(replay("seed_guards", run).interventions) for run in RUNS) > len(RUNS) / 2
