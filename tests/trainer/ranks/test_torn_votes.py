"""Ranks that part while they carry out an action: whoever succeeded keeps it, and rank 0 says what is true of it."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.ranks.support import on_ranks
from tests.trainer.support import Monitor, Run, settle
from trainguard import Guard, Knob
from trainguard.ranks.joint import Joint
from trainguard.ranks.state import JointState

HALVE = ("scale_lr", {"factor": 0.5})
RESTORE = ("restore_checkpoint", {})


def torn(rank: int, path: str, at: str, action: tuple[str, dict[str, Any]]) -> Any:
    """Rank 1 dies after it has carried out the action, or in the midst of it."""
    run, monitor = Run(), Monitor(Path(path))
    if rank == 1:
        owner: Any = Joint if at == "_tell" else JointState
        setattr(owner, at, lambda *_, **__: os._exit(1))
    knobs = {"k": Knob.number(1.0, min=0.0, max=2.0 if rank == 1 else 1.5)}
    with Guard(run.model, run.optimizer, run_dir=path, checkpoint_every=2, knobs=knobs) as guard:
        run.train(guard, 4)
        if rank == 0:
            settle(guard)
            monitor.promote(2)
            monitor.ask(action, HALVE)
        for _ in range(4):
            run.train(guard, 0 if guard.stopped else 1)
    return guard.state_dict(), guard._progress.generation, guard.stopped


def outcome_of(run_dir: Path, at: str, action: tuple[str, dict[str, Any]]) -> tuple[Any, str, str]:
    """How it is on rank 0 afterwards, and what it acknowledged. The action after it is refused in any case."""
    first, _ = on_ranks(torn, str(run_dir), at, action, dies=(1,))
    acks = {ack.action: ack for ack in Monitor(run_dir).acks()}
    assert (acks["i1.1"].status, acks["i1.1"].kind) == ("refused", "scale_lr")
    return first, acks["i1.0"].status, acks["i1.0"].reason


@pytest.mark.parametrize("at", ["_tell", "_compare"])
def test_a_restore_that_was_made_counts(at: str, run_dir: Path) -> None:
    """The generation is a new one, so that rules do not go on with windows of what was rolled back."""
    (_, generation, _), status, reason = outcome_of(run_dir, at, RESTORE)
    assert (generation, status) == (1, "applied")
    assert reason.startswith("the ranks have parted: ")


def test_a_restore_that_was_not_made_does_not(run_dir: Path) -> None:
    (_, generation, _), status, reason = outcome_of(run_dir, "take_back", RESTORE)
    assert (generation, status) == (0, "refused")
    assert reason.startswith("the ranks are not together any more: ")


@pytest.mark.parametrize("action", [("set_knob", {"name": "k", "value": 0.5}), ("stop", {})], ids=["set_knob", "stop"])
def test_what_was_done_is_kept(action: tuple[str, dict[str, Any]], run_dir: Path) -> None:
    (state, _, stopped), status, reason = outcome_of(run_dir, "_tell", action)
    assert (state["knobs"], stopped) == (({"k": 0.5}, False) if action[0] == "set_knob" else ({}, True))
    assert status == "applied"
    assert reason.startswith("the ranks have parted: ")


def test_what_rank_0_refused_is_refused_for_its_own_reason(run_dir: Path) -> None:
    (state, _, _), status, reason = outcome_of(run_dir, "_tell", ("set_knob", {"name": "k", "value": 1.8}))
    assert state["knobs"] == {}
    assert (status, reason) == ("refused", "value is 1.8, and knob 'k' goes from 0 to 1.5")


def test_a_pause_ends_with_it(run_dir: Path) -> None:
    _, status, reason = outcome_of(run_dir, "_tell", ("pause", {}))
    assert status == "refused"
    assert reason.startswith("the ranks are not together any more: ")


def slow(rank: int, path: str) -> Any:
    """Rank 1 comes to the vote when rank 0 waits for it no more."""
    import trainguard.ranks.ranks as ranks

    ranks.PATIENCE = 2.0  # type: ignore[misc]
    run, tell = Run(), Joint._tell
    if rank == 1:

        def tell_late(joint: Joint, problem: Any) -> Any:
            time.sleep(4)
            return tell(joint, problem)

        Joint._tell = tell_late  # type: ignore[method-assign]
    with Guard(run.model, run.optimizer, run_dir=path, checkpoint_every=None) as guard:
        run.train(guard, 2)
        if rank == 0:
            Monitor(Path(path)).ask(HALVE)
        run.train(guard, 4)
    return guard.state_dict()["lr"]["scale"], guard.last["lr"], guard.errors


def test_ranks_that_miss_each_other_keep_the_same_learning_rate(run_dir: Path, monitor: Monitor) -> None:
    assert on_ranks(slow, str(run_dir)) == [(0.5, 0.05, {"ranks": 1})] * 2
    ack = monitor.last_ack()
    assert (ack.status, ack.before, ack.after, ack.factor) == ("applied", 0.1, 0.05, 0.5)
    assert ack.reason.startswith("the ranks have parted: ")
