"""Before there is a group: whether all ranks make a guard.

torch names groups by a counter in each process. A group that only some ranks make is paired with whatever the others
make next, and collectives of the user's hang. So the guards first meet in the store that ``init_process_group`` has
left, where nothing is counted. Rank 0 calls, under a name never used before, and the others answer. The verdict on a
call is one key that is set once, by rank 0 when all have answered or by whoever loses patience first, and all obey it.

A store outlives groups, and under torchrun processes too: a call on which there is a verdict already is of the past.
"""

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import torch.distributed as dist

from trainguard.ranks.rounds import Parted

PATIENCE, NOTICE = 30.0, 5.0  # seconds: to wait for the guards of other ranks, and until that is said
PAUSE_SECONDS = 0.01
ALL_HERE = "all ranks are here"
LAST_CALL = "trainguard/last call"

Store = Any  # of torch.distributed, which has none in a torch that was built without it

logger = logging.getLogger("trainguard")


def meet() -> None:
    """Wait for the guards of all ranks, `PATIENCE` seconds at most.

    Raises `Parted` with what to do, on all ranks that come here, where one does not come in time; and what the store
    raises.
    """
    store = dist.distributed_c10d._get_default_store()
    rank, size = dist.get_rank(), dist.get_world_size()
    verdict = _call(store, size) if rank == 0 else _answer(store, rank, size)
    if verdict != ALL_HERE:
        raise Parted(verdict)


def _call(store: Store, size: int) -> str:
    """Of rank 0: the verdict on a call of its own."""
    call = f"trainguard/{uuid4().hex}"
    store.set(LAST_CALL, call)

    def is_over() -> bool:
        return store.add(f"{call}/answers", 0) == size - 1 or _is_decided(store, call)

    def absent() -> str:
        return _absent(store, call, size)

    return _decide(store, call, ALL_HERE if _wait(is_over, absent) else _missing(0, absent()))


def _answer(store: Store, rank: int, size: int) -> str:
    """Of the others: the verdict on the call that rank 0 makes."""
    answered = ""

    def is_over() -> bool:
        nonlocal answered
        if answered and _is_decided(store, answered):
            return True
        call = _last_call(store)
        if call not in ("", answered) and not _is_decided(store, call):
            answered = call
            store.set(f"{call}/rank {rank}", "")
            store.add(f"{call}/answers", 1)
        return False

    def absent() -> str:
        return _absent(store, answered, size) if answered else "rank 0"

    missing = "" if _wait(is_over, absent) else _missing(rank, absent())
    if answered:
        return _decide(store, answered, missing)
    earlier = _last_call(store)  # rank 0 may have waited, too, when this one was not there yet
    verdict = _decide(store, earlier, missing) if earlier else missing
    return missing if verdict == ALL_HERE else verdict


def _wait(is_over: Callable[[], bool], absent: Callable[[], str]) -> bool:
    """Whether it was over in time."""
    began, is_said = time.monotonic(), False
    while not is_over():
        waited = time.monotonic() - began
        if waited > PATIENCE:
            return False
        if waited > NOTICE and not is_said:
            is_said = True
            logger.warning("waiting for a guard on %s, %g s at most", absent(), PATIENCE)
        time.sleep(PAUSE_SECONDS)
    return True


def _last_call(store: Store) -> str:
    return store.get(LAST_CALL).decode() if store.check([LAST_CALL]) else ""


def _is_decided(store: Store, call: str) -> bool:
    return bool(store.check([f"{call}/verdict"]))


def _decide(store: Store, call: str, verdict: str) -> str:
    """The verdict that there is, or else this one."""
    store.compare_set(f"{call}/verdict", "", verdict)
    return str(store.get(f"{call}/verdict").decode())


def _absent(store: Store, call: str, size: int) -> str:
    ranks = [str(rank) for rank in range(1, size) if not store.check([f"{call}/rank {rank}"])] or ["0"]
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(ranks[:8])}{', ...' * (len(ranks) > 8)}"


def _missing(rank: int, absent: str) -> str:
    return (
        f"rank {rank} waited {PATIENCE:g} s for a guard on {absent}. Make it on every rank, at the same place; where"
        " some get there much later than others, call torch.distributed.barrier() right before"
    )
