"""The median of a sliding window, kept as a sorted list beside the queue."""

from bisect import bisect_left, insort
from collections import deque

from trainguard_rules.stats.base import Reference, Snapshot


class Median(Reference):
    """Median of the last ``window`` samples; of an even number, the mean of the two in the middle."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._sorted: list[float] = []

    def update(self, x: float) -> None:
        samples, ordered = self.samples, self._sorted
        if len(samples) == self.window:
            del ordered[bisect_left(ordered, samples.popleft())]
        samples.append(x)
        insort(ordered, x)
        n = len(ordered)
        if n >= self.warm:
            half = n >> 1
            self.value = ordered[half] if n & 1 else ordered[half - 1] / 2 + ordered[half] / 2

    def snapshot(self) -> Snapshot:
        return {"samples": list(self.samples), "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        *older, last = snapshot["samples"] or [None]
        self.samples, self._sorted = deque(older), sorted(older)
        if last is not None:
            self.update(last)
        self.held = snapshot["held"]
