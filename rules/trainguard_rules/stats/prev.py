"""The sample before the current one."""

from collections import deque

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Prev(Tracker):
    """The finite sample ``n`` before the current one; NaN while there is none."""

    looks_back = True

    def __init__(self, n: int) -> None:
        self.n = n
        self.value = NAN
        self._samples: deque[float] = deque(maxlen=n)

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return self.value

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        samples = self._samples
        samples.append(x)
        if len(samples) == self.n:
            self.value = samples[0]

    def snapshot(self) -> Snapshot:
        return {"samples": list(self._samples)}

    def restore(self, snapshot: Snapshot) -> None:
        self._samples = deque(snapshot["samples"], maxlen=self.n)
        self.value = self._samples[0] if len(self._samples) == self.n else NAN

    def reset(self) -> None:
        self._samples.clear()
        self.value = NAN
