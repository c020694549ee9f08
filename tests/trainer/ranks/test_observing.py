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
