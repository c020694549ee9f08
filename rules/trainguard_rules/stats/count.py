"""How often something held in a sliding window."""

from collections import deque

from trainguard_rules.stats.base import Snapshot, Tracker


class Count(Tracker):
    """How many of the last ``window`` samples, the current one included, were 1 and not 0.

    The running count that subtracts is exact here, for it only ever holds small whole numbers.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._samples: deque[float] = deque()  # all of the window but the current sample
        self._count = 0.0

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return self._count + x

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        samples = self._samples
        samples.append(x)
        self._count += x
        if len(samples) == self.window:
            self._count -= samples.popleft()

    def snapshot(self) -> Snapshot:
        return {"samples": list(self._samples)}

    def restore(self, snapshot: Snapshot) -> None:
        self._samples = deque(snapshot["samples"])
        self._count = sum(self._samples, 0.0)

    def reset(self) -> None:
        self._samples.clear()
        self._count = 0.0
