"""A guard that is made before ``init_process_group``: it is warned of, and never acts on one rank alone."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from tests.trainer.ranks.support import Heard, RankRun, on_ranks
from tests.trainer.support import Monitor, Run
from trainguard import Guard

HALVE = ("scale_lr", {"factor": 0.5})


def too_early(rank: int, path: str, in_the_block: bool) -> Any:
    heard, store = Heard(), dist.distributed_c10d._get_default_store()
    dist.barrier()
    dist.destroy_process_group()
    os.environ["WORLD_SIZE"] = "2"
    own = f"{path}/{rank}"

    def initialize() -> None:
        dist.init_process_group("gloo", store=dist.PrefixStore("late", store), rank=rank, world_size=2)

    run = RankRun(rank)
    guard = Guard(run.model, run.optimizer, run_dir=own, checkpoint_every=None)
    if not in_the_block:
        initialize()
    with guard:
        if in_the_block:
            initialize()
        Monitor(Path(own)).ask(HALVE)
        for _ in range(3):
            run.step(guard)
    return guard.errors, guard.state_dict()["lr"]["scale"], heard.lines


@pytest.mark.parametrize("in_the_block", [False, True])
def test_nothing_is_done_by_one_rank_alone(in_the_block: bool, run_dir: Path) -> None:
    """What a monitor asks of each of them is refused, and the reason says what to do."""
    for rank, (errors, scale, lines) in enumerate(on_ranks(too_early, str(run_dir), in_the_block)):
        assert (errors, scale) == ({"ranks": 1}, 1.0)
        assert lines[0].startswith("WORLD_SIZE is 2, but torch.distributed is not initialized: ")
        assert lines[1].startswith("ranks: the guard was made before init_process_group: ")
        assert len(lines) == 2
        ack = Monitor(run_dir / str(rank)).last_ack()
        assert (ack.status, ack.reason.partition(":")[0]) == (
            "refused",
            "the guard was made before init_process_group",
        )


@pytest.mark.parametrize("world_size", ["1", "", "many"])
def test_one_process_is_told_nothing(
    world_size: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world_size)
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 2)
    assert (guard.errors, said.messages) == ({}, [])
