"""The effective rank of the features: against singular values, at its limits, and through the probe."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer import formulas
from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.signals.effective_rank import MOST_ROWS, effective_rank


def random(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_against_singular_values(rows: int, columns: int, seed: int, scale: float) -> None:
    """More rows than features or fewer; the scale does not matter."""
    features = random(rows, columns, seed)
    rank = effective_rank(features * scale)
    assert rank == pytest.approx(formulas.effective_rank(features.double().numpy()), rel=1e-4)
    assert 1 - 1e-6 <= rank <= min(rows, columns) + 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_limits(dtype: torch.dtype) -> None:
    """All directions evenly, one direction, and some in between."""
    assert effective_rank(torch.eye(8, 16, dtype=dtype)) == pytest.approx(8)
    assert effective_rank(torch.ones(8, 16, dtype=dtype)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.eye(4, dtype=dtype).repeat(5, 1)) == pytest.approx(4)


@pytest.mark.parametrize("features", [torch.zeros(4, 3), torch.tensor([[1.0, math.nan]]), torch.tensor([[math.inf]])])
def test_what_has_no_directions(features: torch.Tensor) -> None:
    """NaN, and no error."""
    assert effective_rank(features).isnan()


def test_of_many_rows_some_are_taken() -> None:
    """Regularly spaced over the batch."""
    features = random(3 * MOST_ROWS - 5, 3)
    assert effective_rank(features) == effective_rank(features[::3])


def test_the_probe_measures_it_once(run_dir: Path, monitor: Monitor) -> None:
    """Of the input of the last layer; rows without a target do not count; hooks are there in this step only."""
    run, features = Run(), []
    run.model.layers[4].register_forward_hook(lambda *args: features.append(formulas.array(args[1][0])))
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("diagnose", {"probe": "collapse"}))
        run.train(guard)
        loss, logits, y = run.backward()
        y[::2] = -100
        guard.step(loss, logits=logits, targets=y)
        run.train(guard)
        assert guard.errors == {}
    assert [sample.step for sample in monitor.samples() if "effective_rank" in sample.values] == [2]
    assert monitor.series("effective_rank") == pytest.approx([formulas.effective_rank(features[1][1::2])], rel=1e-4)
