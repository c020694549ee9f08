"""Ranks that lose each other: nothing hangs, nothing crashes, it is said once, and each goes on alone."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch import nn

from tests.support.waiting import until
from tests.trainer.ranks.support import on_ranks
from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.ranks import rounds
from trainguard_wire import Goodbye

HALVE = ("scale_lr", {"factor": 0.5})
QUIET: dict[str, Any] = {"checkpoint_every": None, "heartbeat_seconds": 1e9}


def alone(rank: int, path: str, course: str) -> Any:
    """Ranks whose training does not bind them together; rank 1 goes another way after step 5."""
    import trainguard.ranks.ranks as ranks

    if course == "sleeps":
        ranks.PATIENCE = 2.0  # type: ignore[misc]
    made, launch = [], rounds.Rounds.launch

    def counted(each: rounds.Rounds, *what: Any, **how: Any) -> None:
        made.append(what)
        launch(each, *what, **how)

    rounds.Rounds.launch = counted  # type: ignore[method-assign]
    run, monitor, over = Run(), Monitor(Path(path)), Path(path).with_name("over")
    with Guard(run.model, run.optimizer, run_dir=path, **QUIET) as guard:
        run.train(guard, 4)
        if (course, rank) == ("fails", 0):
            monitor.ask(HALVE)  # is on its way to both when rank 1 has ended
        run.train(guard, 1)
        if rank == 1:
            leave(course, guard, over)
            return {"steps": guard.num_steps, "errors": guard.errors}
        run.train(guard, 3)
        monitor.ask(HALVE)
        run.train(guard, 4)
    over.touch()
    return {"steps": guard.num_steps, "errors": guard.errors, "rounds": len(made)}


def leave(course: str, guard: Guard, over: Path) -> None:
    """``over`` is there when rank 0 has come to its end."""
    if course == "dies":
        os._exit(1)
    if course == "sleeps":
        until(over.exists)
    if course == "miscounts":
        guard.load_state_dict({**guard.state_dict(), "step": 50})
        Run().train(guard, 2)
    if course == "fails":
        guard.__exit__(RuntimeError, RuntimeError("a bad batch"), None)
        until(over.exists)  # what it does after that is no matter of the guard's


def check(first: Any, monitor: Monitor, reason: str) -> None:
    """All of rank 0's own samples are there; what is asked for is refused."""
    assert first["steps"] == 12
    assert first["errors"] == {"ranks": 1}
    assert first["rounds"] < 12, "who is alone makes no more"
    assert sorted(sample.step for sample in monitor.samples()) == list(range(1, 13))
    ack = monitor.last_ack()
    assert ack.status == "refused"
    assert ack.reason.startswith("the ranks are not together any more: ")
    assert reason in ack.reason
    assert monitor.series("lr_scale")[-1] == 1.0


def test_a_rank_that_ends_early(run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(alone, str(run_dir), "ends")
    check(first, monitor, "rank 1 has ended its training after step 5")
    assert second == {"steps": 5, "errors": {}}


def test_a_rank_that_fails(run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(alone, str(run_dir), "fails")
    check(first, monitor, "rank 1 has ended its training after step 5")
    assert [(ack.action, ack.status, ack.step) for ack in monitor.acks()] == [
        ("i1.0", "refused", 6),
        ("i2.0", "refused", 9),
    ]
    assert second == {"steps": 5, "errors": {}}


def test_a_rank_that_dies(run_dir: Path, monitor: Monitor) -> None:
    first, _ = on_ranks(alone, str(run_dir), "dies", dies=(1,))
    check(first, monitor, "Connection")


def test_a_rank_that_hangs(run_dir: Path, monitor: Monitor) -> None:
    first, _ = on_ranks(alone, str(run_dir), "sleeps")
    check(first, monitor, "Timed out waiting")


def test_a_rank_that_takes_other_steps(run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(alone, str(run_dir), "miscounts")
    check(first, monitor, "rank 1 is at step 51 of generation 0, rank 0 at step 6 of generation 0")
    assert second == {"steps": 52, "errors": {"ranks": 1}}


def strangers(rank: int, path: str, kind: str) -> Any:
    run = Run()
    if kind == "other" and rank == 1:
        run.model.layers.append(nn.Linear(4, 4))
    if kind == "drifted" and rank == 1:
        run = Run(seed=1)
    if kind == "unwatched" and rank == 0:
        Path(path).write_text("no directory")
    with Guard(run.model, run.optimizer, run_dir=path, **QUIET) as guard:
        run.train(guard, 3)
    return guard.errors


@pytest.mark.parametrize("kind", ["other", "drifted"])
def test_ranks_that_are_no_replicas(kind: str, run_dir: Path, monitor: Monitor) -> None:
    """Other parameters, or others' values: rank 0 reports for itself, and offers nothing."""
    first, second = on_ranks(strangers, str(run_dir), kind)
    assert first == second == {"ranks": 1}
    assert monitor.hello().actions == ()
    assert [sample.step for sample in monitor.samples()] == [1, 2, 3]


def test_ranks_that_nobody_watches(run_dir: Path) -> None:
    assert on_ranks(strangers, str(run_dir), "unwatched") == [{"run_directory": 1}, {}]


def ungrouped(rank: int, path: str) -> Any:
    """The script gives up all groups before the guard ends."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=path, **QUIET) as guard:
        run.train(guard, 3)
        dist.destroy_process_group()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # for the end of this process
    return guard.errors


def test_a_group_that_is_given_up_too_early(run_dir: Path, monitor: Monitor) -> None:
    """The run ends in order, and rank 0's last values are there."""
    assert on_ranks(ungrouped, str(run_dir)) == [{"ranks": 1}, {"ranks": 1}]
    assert [sample.step for sample in monitor.samples()] == [1, 2, 3]
    assert isinstance(monitor.records()[-1], Goodbye)


def letters(rank: int) -> list[list[int]]:
    several = rounds.Rounds(10.0)
    sizes = (0, 1, rounds.ROOM, rounds.ROOM + 1, 10_000)
    said = []
    for size in sizes:
        letter = bytes([rank]) * (size if rank else 3 * size)
        said.append([len(each) for each in several.talk(rounds.TALK, (1, 0), letter)])
    several.close()
    return said


def test_letters_of_any_length_arrive() -> None:
    first, second = on_ranks(letters)
    assert first == second == [[3 * size, size] for size in (0, 1, rounds.ROOM, rounds.ROOM + 1, 10_000)]
