"""The checkpoints of a run in host memory: the nearest way back, and the only one while the disk is full.

They end with the process. Their memory is bounded by number and by a share of what this machine has, a container's
limit included, with room for the one that is being written to disk.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from trainguard.checkpoints.snapshot import Snapshot

SHARE = 0.25
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(eq=False)
class Held:
    """The training state after ``step``, in memory. ``created`` is Unix seconds."""

    step: int
    generation: int
    created: float
    snapshot: Snapshot
    good: bool = False

    @property
    def age_key(self) -> tuple[int, int]:
        return self.generation, self.step


class MemoryRing:
    """The newest ``keep`` checkpoints, or fewer where ``limit`` bytes do not hold them and one more.

    Where there are two or more, the newest good one is among them, whatever its age.
    """

    def __init__(self, keep: int, limit: int) -> None:
        self._keep, self._limit = keep, limit
        self._held: list[Held] = []  # the newest last

    def __contains__(self, held: Held) -> bool:
        return held in self._held

    def fits(self, num_bytes: int) -> bool:
        """Whether one of this size may be in memory while another is being written."""
        return 2 * num_bytes <= self._limit

    def make_room(self, num_bytes: int) -> list[Held]:
        """Give up what has to go before one more of this size is added."""
        given_up = []
        while self._held and len(self._held) >= self._capacity(num_bytes):
            given_up.append(self._held.pop(self._least_useful()))
        return given_up

    def add(self, held: Held, num_bytes: int) -> None:
        """Keep it, unless none is to be kept. Another of the same step is replaced."""
        if self._capacity(num_bytes) > 0:
            self._held = [*(other for other in self._held if other.step != held.step), held]

    def promote(self, *, step: int, generation: int) -> bool:
        """Mark the checkpoint of ``step`` good; False where it is not here, or is younger than ``generation``."""
        found = [held for held in self._held if held.step == step and held.generation <= generation]
        for held in found:
            held.good = True
        return bool(found)

    def good(self, *, before_step: int | None = None) -> list[Held]:
        """The good ones older than ``before_step``, newest first."""
        return [h for h in reversed(self._held) if h.good and (before_step is None or h.step < before_step)]

    def clear(self) -> None:
        self._held.clear()

    def _capacity(self, num_bytes: int) -> int:
        return min(self._keep, self._limit // max(1, num_bytes) - 1)

    def _least_useful(self) -> int:
        """The oldest, unless that is the newest good one and there is another."""
        newest_good = next(iter(self.good()), None)
        return 1 if self._held[0] is newest_good and len(self._held) > 1 else 0


def memory_limit() -> int:
    """How many bytes checkpoints may take: a quarter of the machine's memory, or of the container's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP_LIMITS:
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return int(min(limits) * SHARE)
