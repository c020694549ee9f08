"""The sample before the current one."""

from collections import deque

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Prev(Tracker):
    """The finite sample ``n`` before the current one; NaN while there is none."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._samples: deque[float] = deque(maxlen=n)

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return self._samples[0] if len(self._samples) == self.n else NAN

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        self._samples.append(x)

    def snapshot(self) -> Snapshot:
        return {"samples": list(self._samples)}

    def restore(self, snapshot: Snapshot) -> None:
        self._samples = deque(snapshot["samples"], maxlen=self.n)

    def reset(self) -> None:
        self._samples.clear()
