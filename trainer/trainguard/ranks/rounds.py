"""Rounds: each rank hands in a row of numbers, and all ranks have all rows. See the head of the folder.

A row is `HEAD` numbers that say what it is and `SLOTS` that it carries, as numbers or as bytes. Numbers arrive bit for
bit: nothing is computed on the way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

PATIENCE = 180.0  # seconds to wait for another rank before it counts as one that hangs
PIECE = 1 << 26
HEAD, SLOTS = 8, 120
ROOM = SLOTS * 8
HELLO, STEP, TALK, VOTE, GATHER, PASS, LEAVE = range(1, 8)
KIND, AT_STEP, GENERATION, ASKS, LENGTH = range(5)

Row = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Place = tuple[int, int]  # step, generation


class Parted(Exception):
    """The ranks are not together any more; the message says why."""


class Rounds:
    """The rounds of one group, each made by all of its ranks, in the same order. One at a time.

    Makes the group, for which all ranks have to come here. A rank that is silent for ``patience`` seconds hangs.
    Raises what torch raises.
    """

    def __init__(self, patience: float) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._group: Any = dist.new_group(backend="gloo", timeout=timedelta(seconds=patience))
        mine = torch.zeros(HEAD + SLOTS, dtype=torch.float64)
        everyones = torch.zeros(self.size, HEAD + SLOTS, dtype=torch.float64)
        self._tensor, self._tensors = mine, list(everyones.unbind())
        self._row: Row = mine.numpy()
        self._rows: Row = everyones.numpy()
        self._work: Any = None

    @property
    def is_under_way(self) -> bool:
        return self._work is not None

    def launch(self, kind: int, place: Place, *, asks: bool = False, length: int = 0, cargo: Row | bytes = b"") -> None:
        """Begin a round. Raises `Parted`."""
        self._row[:HEAD] = (kind, *place, asks, length, 0, 0, 0)
        if isinstance(cargo, bytes):
            self._row[HEAD:].view(np.uint8)[: len(cargo)] = np.frombuffer(cargo, np.uint8)
        else:
            self._row[HEAD:] = cargo
        with _parting():
            self._work = dist.all_gather(self._tensors, self._tensor, group=self._group, async_op=True)

    def land(self) -> Row:
        """All rows of the round under way, to be read before the next. Raises `Parted`, also where heads differ."""
        work, self._work = self._work, None
        with _parting():
            work.wait()
        heads = self._rows[:, : GENERATION + 1]
        if (heads != heads[self.rank]).any():
            raise Parted(_difference(heads, self.rank))
        return self._rows

    def talk(self, kind: int, place: Place, letter: bytes) -> list[bytes]:
        """What each rank had to say, by rank. Raises `Parted`."""
        self.launch(kind, place, length=len(letter), cargo=letter[:ROOM])
        rows = self.land()
        lengths = [int(length) for length in rows[:, LENGTH]]
        whole = rows[:, HEAD:].view(np.uint8)
        if max(lengths) > ROOM:  # all ranks know that by now: what follows may be larger than a round
            whole = self._all_of(letter, max(lengths))
        return [each[:length].tobytes() for each, length in zip(whole, lengths, strict=True)]

    def pass_on(self, kind: int, place: Place, data: Bytes) -> Bytes:
        """What rank 0 has, however much; the others hand in nothing. Raises `Parted`."""
        self.launch(kind, place, length=len(data))
        size = int(self.land()[0, LENGTH])
        passed = data if self.rank == 0 else np.empty(size, np.uint8)
        with _parting():
            for begin in range(0, size, PIECE):
                dist.broadcast(torch.from_numpy(passed[begin : begin + PIECE]), src=0, group=self._group)
        return passed

    def _all_of(self, letter: bytes, longest: int) -> Bytes:
        """The letters of all ranks, each filled up to the longest."""
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine.numpy()[: len(letter)] = np.frombuffer(letter, np.uint8)
        everyones = torch.zeros(self.size, longest, dtype=torch.uint8)
        with _parting():
            dist.all_gather(list(everyones.unbind()), mine, group=self._group)
        return np.asarray(everyones.numpy())

    def leave(self, place: Place, seconds: float) -> None:
        """Tell the others that no round of this rank follows, if the one under way ends in time. Raises `Parted`."""
        work, self._work = self._work, None
        if work is not None:
            with _parting():
                work.wait(timedelta(seconds=seconds))
        self.launch(LEAVE, place)

    def close(self) -> None:
        """Give up the group."""
        self._work = None
        dist.destroy_process_group(self._group)


@contextmanager
def _parting() -> Iterator[None]:
    """What torch raises becomes `Parted`: a rank that is gone or hangs, a group that is."""
    try:
        yield
    except Exception as error:
        raise Parted(_first_line(error)) from error


def _difference(heads: Row, mine: int) -> str:
    """The first rank that is elsewhere, and where."""
    other = next(rank for rank, head in enumerate(heads) if (head != heads[mine]).any())
    kind, step, generation = map(int, heads[other])
    if kind == LEAVE:
        return f"rank {other} has ended its training after step {step}"
    _, own_step, own_generation = map(int, heads[mine])
    if (step, generation) == (own_step, own_generation):
        return f"rank {other} took another course in step {step}"
    here = f"rank {mine} at step {own_step} of generation {own_generation}"
    return f"rank {other} is at step {step} of generation {generation}, {here}"


def _first_line(error: BaseException) -> str:
    """What gloo says in its first sentence, without the place in its source."""
    text = (str(error).splitlines() or [""])[0].partition(". ")[0]
    return text.partition("] ")[2] or text if text.startswith("[/") else text
