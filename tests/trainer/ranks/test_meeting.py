"""Guards that are not made on every rank, or not at the same time: the user's own groups are none the worse for it."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.support.waiting import until
from tests.trainer.ranks.support import Heard, on_ranks
from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.ranks import meeting

QUIET: dict[str, Any] = {"checkpoint_every": None, "heartbeat_seconds": 1e9}


def impatient(patience: float, notice: float) -> None:
    meeting.PATIENCE, meeting.NOTICE = patience, notice  # type: ignore[misc]


def total_of_a_group(rank: int) -> float:
    """Over a group that the script makes for itself."""
    total = torch.tensor(rank + 1.0)
    dist.all_reduce(total, group=dist.new_group())
    return total.item()


def lonely(rank: int, path: str, with_guard: int) -> Any:
    """The first guard is on one rank only, the second on both."""
    dist.barrier()
    heard, results = Heard(), list[Any]()
    for name, ranks in (("a", {with_guard}), ("b", {0, 1})):
        impatient(0.5, 0.2) if name == "a" else impatient(20.0, 20.0)
        if rank in ranks:
            run = Run()
            with Guard(run.model, run.optimizer, run_dir=f"{path}/{name}", **QUIET) as guard:
                run.train(guard, 2)
            results.append(guard.errors)
        results.append(total_of_a_group(rank))
    return results, heard.lines


def test_a_guard_of_rank_0_only(run_dir: Path) -> None:
    """It says what to do, and reports for itself; groups that the script makes later work, and guards on all ranks."""
    (first, said), (second, nothing) = on_ranks(lonely, str(run_dir), 0)
    assert (first, second) == ([{"ranks": 1}, 3.0, {}, 3.0], [3.0, {}, 3.0])
    assert said[0] == "waiting for a guard on rank 1, 0.5 s at most"
    assert said[1].startswith("ranks: rank 0 waited 0.5 s for a guard on rank 1. Make it on every rank, ")
    assert (len(said), nothing) == (2, [])
    alone, together = Monitor(run_dir / "a"), Monitor(run_dir / "b")
    assert [sample.step for sample in alone.samples()] == [sample.step for sample in together.samples()] == [1, 2]
    assert alone.hello().actions == ()
    assert "scale_lr" in together.hello().actions


def test_a_guard_of_another_rank_only(run_dir: Path) -> None:
    (first, nothing), (second, said) = on_ranks(lonely, str(run_dir), 1)
    assert (first, second) == ([3.0, {}, 3.0], [{"ranks": 1}, 3.0, {}, 3.0])
    assert said[1].startswith("ranks: rank 1 waited 0.5 s for a guard on rank 0. ")
    assert (len(said), nothing) == (2, [])
    assert not (run_dir / "a").exists()


def late(rank: int, path: str) -> Any:
    """Rank 2 comes when the others have gone on. The next guards find together."""
    dist.barrier()
    heard, results, store = Heard(), list[Any](), dist.distributed_c10d._get_default_store()
    impatient((4.0, 60.0, 0.5)[rank], 60.0)  # rank 1 is there in time on a busy machine, too
    if rank == 2:
        store.wait(["rank 0 has gone on"])
    for name in ("a", "b"):
        run = Run()
        with Guard(run.model, run.optimizer, run_dir=f"{path}/{name}", **QUIET) as guard:
            if rank == 0:
                store.set("rank 0 has gone on", "")
            results += [total_of_a_group(rank), guard.errors]
            run.train(guard, 2)
        impatient(20.0, 20.0)
    return results, heard.lines


def test_a_rank_that_comes_late(run_dir: Path) -> None:
    """All say the same."""
    ranks = on_ranks(late, str(run_dir), size=3)
    assert [results for results, _ in ranks] == [[6.0, {"ranks": 1}, 6.0, {}]] * 3
    (said,) = {tuple(lines) for _, lines in ranks}
    assert len(said) == 1
    assert " waited 4 s for a guard on rank 2. " in said[0]
    assert Monitor(run_dir / "a").hello().actions == ()
    assert "scale_lr" in Monitor(run_dir / "b").hello().actions


def patient(rank: int, path: str) -> Any:
    """Rank 0 takes its time, and rank 1 says that it waits."""
    impatient(60.0, 0.2)
    said = Path(path).with_name("said")
    heard, run = Heard(said.touch), Run()
    if rank == 0:
        until(said.exists)
    with Guard(run.model, run.optimizer, run_dir=path, **QUIET) as guard:
        run.train(guard, 2)
    return guard.errors, heard.lines


def test_a_rank_that_comes_in_time(run_dir: Path) -> None:
    first, second = on_ranks(patient, str(run_dir))
    assert first == ({}, [])
    assert second == ({}, ["waiting for a guard on rank 0, 60 s at most"])


def regrouped(rank: int, path: str) -> Any:
    """All groups are given up, and made anew over the same store, as under torchrun."""
    errors, store = [], dist.distributed_c10d._get_default_store()
    for name in ("a", "b"):
        run = Run()
        with Guard(run.model, run.optimizer, run_dir=f"{path}/{name}", **QUIET) as guard:
            run.train(guard, 2)
        errors.append(guard.errors)
        dist.barrier()
        dist.destroy_process_group()
        dist.init_process_group("gloo", store=dist.PrefixStore(name, store), rank=rank, world_size=2)
    return errors


def test_groups_that_are_made_anew(run_dir: Path) -> None:
    assert on_ranks(regrouped, str(run_dir)) == [[{}, {}]] * 2
