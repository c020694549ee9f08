"""What the loop observes, on all ranks or on some of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.ranks.support import RankRun, on_ranks
from tests.trainer.support import Monitor
from trainguard import Guard

QUIET: dict[str, Any] = {"checkpoint_every": None, "heartbeat_seconds": 1e9}


def by_one(rank: int, path: str, who: int) -> Any:
    """One rank observes during the training, and once more after it."""
    run = RankRun(rank)
    with Guard(run.ddp, run.optimizer, run_dir=path, **QUIET) as guard:
        for step in range(1, 9):
            run.step(guard)
            if (step, rank) == (3, who):
                guard.observe(score=1.0)
        if rank == who:
            guard.observe(late=2.0)
    return guard.last, guard.errors


@pytest.mark.parametrize("who", [0, 1])
def test_what_one_rank_observes_is_told(who: int, run_dir: Path, monitor: Monitor) -> None:
    """And at the end nothing is told beside it: what the other measured in the last step was told with that step."""
    first, second = on_ranks(by_one, str(run_dir), who)
    assert first == second
    assert first[1] == {}
    samples = monitor.samples()
    assert [sample.step for sample in samples] == [*range(1, 9), 8]
    assert samples[-1].values == {"late": 2.0}
    assert monitor.series("score") == [1.0]


def faulty(rank: int, path: str) -> Any:
    """A fault of ranks 1 and 2 in the same step, one of rank 2 later, and one of all three."""
    run = RankRun(rank)
    with Guard(run.ddp, run.optimizer, run_dir=path, **{**QUIET, "heartbeat_seconds": 1e-6}) as guard:
        for step in range(1, 9):
            run.step(guard, epoch=-1 if step == 2 else 0)
            if rank > 0 and step in (4, 5):
                guard.observe(loss=1.0)
        if rank == 2:
            guard._faults.note("gate", "at the very end")
    return guard.errors


def test_what_fails_on_another_rank_is_in_rank_0s_log(run_dir: Path, monitor: Monitor) -> None:
    """Once for each kind, with the first rank; not what rank 0 has met itself."""
    first, second, third = on_ranks(faulty, str(run_dir), size=3)
    assert (second, third) == ({"epoch": 1, "observe": 2}, {"epoch": 1, "observe": 2, "gate": 1})
    assert first == {"epoch": 1, "rank 1: observe": 1, "rank 2: gate": 1}
    assert monitor.last_heartbeat().errors == {"epoch": 1, "rank 1: observe": 1}
