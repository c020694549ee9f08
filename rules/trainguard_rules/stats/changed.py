"""Whether a signal has just changed."""

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Changed(Tracker):
    """1 where the current sample differs from the finite one before it, 0 where it is equal; NaN at the first."""

    def __init__(self) -> None:
        self._last = NAN

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        last = self._last
        if x == last:
            return 0.0
        return 1.0 if x == x and last == last else NAN

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        self._last = x

    def snapshot(self) -> Snapshot:
        return {} if self._last != self._last else {"last": self._last}

    def restore(self, snapshot: Snapshot) -> None:
        self._last = snapshot.get("last", NAN)

    def reset(self) -> None:
        self._last = NAN
