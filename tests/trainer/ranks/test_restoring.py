"""Checkpoints of two ranks: rank 0's replica, the random states of each, and a way back that all go together."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.ranks.support import RankRun, digest, on_ranks
from tests.trainer.support import Monitor, settle
from trainguard import Guard
from trainguard_wire import CheckpointSaved

RESTORE = ("restore_checkpoint", {})
HALVE = ("scale_lr", {"factor": 0.5})


class Batches:
    """Numbers from ``begin`` on, with a position that can be put back."""

    def __init__(self, begin: int) -> None:
        self.position = begin

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> int:
        self.position += 1
        return self.position

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def state_of(run: RankRun) -> dict[str, str]:
    moments = [state["momentum_buffer"] for state in run.optimizer.state.values()]
    return {"model": digest(run.model.state_dict().values()), "moments": digest(moments)}


def random_state() -> str:
    return digest([torch.get_rng_state()])


def restored(rank: int, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Saved after step 5; then rank 1's replica goes astray; then both go back."""
    run, monitor = RankRun(rank), Monitor(Path(path))
    how = {"checkpoint_every": 5, "heartbeat_seconds": 1e9, **options}
    with Guard(run.ddp, run.optimizer, run_dir=path, **how) as guard:
        for _ in range(5):
            run.step(guard)
        then = {**state_of(run), "random": random_state()}
        settle(guard) if rank == 0 else None
        monitor.promote(5) if rank == 0 else None
        run.step(guard)
        if rank == 1:
            with torch.no_grad():
                run.model.layers[0].weight += 1.0
        for _ in range(2):
            run.step(guard)
        monitor.ask(RESTORE, HALVE) if rank == 0 else None
        generations = []
        for _ in range(3):
            run.step(guard)
            generations.append(guard._progress.generation)
            if generations == [0, 1]:
                now = {**state_of(run), "random": random_state()}
        return {"then": then, "now": now, "generations": generations, "errors": guard.errors, "end": state_of(run)}


@pytest.mark.parametrize("options", [{}, {"keep_in_memory": 0}], ids=["memory", "disk"])
def test_a_restore_makes_all_ranks_the_replica_that_was_saved(
    options: dict[str, Any], run_dir: Path, monitor: Monitor
) -> None:
    """Rank 0's, bit for bit; random numbers go on from where each rank's own were."""
    first, second = on_ranks(restored, str(run_dir), options)
    for rank in (first, second):
        assert rank["generations"] == [0, 1, 1]
        assert rank["errors"].keys() <= {"checkpoint.skipped"}
        assert rank["now"]["random"] == rank["then"]["random"]
        assert {key: rank["now"][key] for key in ("model", "moments")} == {
            key: first["then"][key] for key in ("model", "moments")
        }
    assert first["then"]["random"] != second["then"]["random"]
    assert first["end"]["moments"] == second["end"]["moments"]
    acks = [(ack.kind, ack.status, ack.step, ack.generation, ack.checkpoint) for ack in monitor.acks()]
    assert acks == [("restore_checkpoint", "applied", 10, 1, 5), ("scale_lr", "applied", 11, 1, None)]
    assert [r.step for r in monitor.records() if isinstance(r, CheckpointSaved)] == [0, 5, 10]


def rewound(rank: int, path: str) -> dict[str, Any]:
    run, monitor, loader = RankRun(rank), Monitor(Path(path)), Batches(1000 * rank)
    seen = []
    with Guard(run.ddp, run.optimizer, run_dir=path, loader=loader, checkpoint_every=2) as guard:
        for number in guard.batches():
            seen.append(number)
            run.step(guard)
            if rank == 0 and len(seen) == 3:
                monitor.promote(2)
                monitor.ask(("restore_checkpoint", {"rewind": "full"}))
            if len(seen) == 6:
                break
    return {"seen": seen, "errors": guard.errors}


def test_each_rank_goes_back_in_its_own_data(run_dir: Path) -> None:
    first, second = on_ranks(rewound, str(run_dir))
    assert first == {"seen": [1, 2, 3, 4, 5, 3], "errors": {}}
    assert second == {"seen": [1001, 1002, 1003, 1004, 1005, 1003], "errors": {}}


def unable(rank: int, path: str) -> Any:
    """Rank 1 has no position in its data."""
    run, loader = RankRun(rank), Batches(0) if rank == 0 else None
    with Guard(run.ddp, run.optimizer, run_dir=path, loader=loader, checkpoint_every=2) as guard:
        if rank == 0:
            Monitor(Path(path)).ask(("restore_checkpoint", {"rewind": "full"}))
        for _ in range(4):
            run.step(guard)
    return guard.errors


def test_where_one_rank_cannot_rewind_none_does(run_dir: Path, monitor: Monitor) -> None:
    """And they stay together."""
    assert on_ranks(unable, str(run_dir)) == [{}, {}]
    ack = monitor.last_ack()
    missing = "the guard was given no loader= whose position could go back"
    assert (ack.status, ack.reason) == ("refused", f"rank 1: rewind is 'full', but {missing}")


def misfit(rank: int, path: str) -> dict[str, Any]:
    """On rank 1 nothing that was saved fits any more."""
    run, monitor = RankRun(rank), Monitor(Path(path))
    with Guard(run.ddp, run.optimizer, run_dir=path, checkpoint_every=2) as guard:
        for _ in range(4):
            run.step(guard)
        if rank == 1:
            run.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
        if rank == 0:
            settle(guard)
            monitor.promote(2)
            monitor.promote(4)
            monitor.ask(RESTORE)
        before = 0
        for _ in range(3):
            run.step(guard)
            before = max(before, guard._progress.generation)
    return {"generation": before, "moments": digest(run.model.parameters()), "restores": guard.errors.get("restore")}


def test_what_does_not_fit_one_rank_is_restored_on_none(run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(misfit, str(run_dir))
    assert first == second
    assert (first["generation"], first["restores"]) == (0, 2)
    ack = monitor.last_ack()
    assert (ack.status, ack.reason) == ("refused", "there is no good and undamaged checkpoint")


class Fragile:
    """State of the user's own, that some ranks cannot put back."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def state_dict(self) -> dict[str, int]:
        return {"value": 1}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if self.fails:
            raise ValueError("no place for it")


def half_restored(rank: int, path: str, fail: list[bool]) -> Any:
    run = RankRun(rank)
    with Guard(run.ddp, run.optimizer, run_dir=path, checkpoint_every=2, state={"own": Fragile(fail[rank])}) as guard:
        for _ in range(2):
            run.step(guard)
        if rank == 0:
            Monitor(Path(path)).promote(2)
            Monitor(Path(path)).ask(RESTORE)
        for _ in range(4):
            run.step(guard)
    return guard.errors


PARTED = "the ranks have parted: rank 1 took back a part of a checkpoint only: ValueError: no place for it"


@pytest.mark.parametrize(
    ("fail", "errors", "status", "reason"),
    [
        ([False, True], [{"ranks": 1}, {"ranks": 1, "action.restore_checkpoint": 1}], "applied", PARTED),
        ([True, True], [{"action.restore_checkpoint": 1}] * 2, "failed", "ValueError: no place for it"),
    ],
    ids=["one", "all"],
)
def test_a_restore_that_fails_half_way(
    fail: list[bool], errors: list[dict[str, int]], status: str, reason: str, run_dir: Path, monitor: Monitor
) -> None:
    """On one rank only it leaves no replicas, and nothing may be acted upon as if there were."""
    assert on_ranks(half_restored, str(run_dir), fail) == errors
    assert (monitor.last_ack().status, monitor.last_ack().reason) == (status, reason)


def kept(rank: int, path: str, every: list[int | None]) -> Any:
    run = RankRun(rank)
    with Guard(run.ddp, run.optimizer, run_dir=path, checkpoint_every=every[rank]) as guard:
        for _ in range(4):
            run.step(guard)
    return guard.errors


@pytest.mark.parametrize("every", [[2, None], [2, 3], [None, 2]], ids=str)
def test_rank_0_says_how_often(every: list[int | None], run_dir: Path, monitor: Monitor) -> None:
    """Loops that have only the first rank keep checkpoints need not know that all ranks have a part in them."""
    assert on_ranks(kept, str(run_dir), every) == [{}, {}]
    saved = [record.step for record in monitor.records() if isinstance(record, CheckpointSaved)]
    assert saved == ([] if every[0] is None else [0, 2, 4])


def resumed(rank: int, path: str) -> Any:
    run = RankRun(rank)
    with Guard(run.ddp, run.optimizer, run_dir=path, checkpoint_every=4) as guard:
        guard.load_state_dict({**guard.state_dict(), "step": 6})
        for _ in range(3):
            run.step(guard)
    return guard.errors


def test_what_was_saved_before_the_loop_loaded_its_own_is_not_told(run_dir: Path, monitor: Monitor) -> None:
    """On no rank."""
    assert on_ranks(resumed, str(run_dir)) == [{}, {}]
    assert [record.step for record in monitor.records() if isinstance(record, CheckpointSaved)] == [6, 8]


def damaged(rank: int, path: str) -> dict[str, Any]:
    run, monitor = RankRun(rank), Monitor(Path(path))
    states = {}
    with Guard(run.ddp, run.optimizer, run_dir=path, checkpoint_every=2, keep_in_memory=0) as guard:
        for step in range(1, 5):
            run.step(guard)
            states[step] = state_of(run)["model"]
            settle(guard) if rank == 0 else None
        if rank == 0:
            with (Path(path) / "checkpoints" / "step-00000004" / "state.pt").open("r+b") as file:
                file.write(b"damaged")
            monitor.promote(2)
            monitor.promote(4)
            monitor.ask(RESTORE, ("stop", {}))
        while not guard.stopped:
            run.step(guard)
    return {"then": states[2], "now": state_of(run)["model"]}


def test_a_damaged_checkpoint_gives_way_to_an_older_one(run_dir: Path, monitor: Monitor) -> None:
    """On all ranks; and what a stop leaves on disk has the random states of all of them."""
    first, second = on_ranks(damaged, str(run_dir))
    assert first["now"] == second["now"] == first["then"]
    assert [(ack.kind, ack.status, ack.checkpoint) for ack in monitor.acks()] == [
        ("restore_checkpoint", "applied", 2),
        ("stop", "applied", None),
    ]
    state = torch.load(run_dir / "checkpoints" / "step-00000006" / "state.pt", weights_only=True)
    assert len(state["ranks"]) == 2
    assert not torch.equal(state["ranks"][0]["rng"]["torch"], state["ranks"][1]["rng"]["torch"])
    assert torch.equal(state["ranks"][0]["rng"]["torch"], state["rng"]["torch"])
