"""The lowest value so far."""

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Best(Tracker):
    """The lowest finite sample so far, the current one included."""

    def __init__(self) -> None:
        self._best = NAN

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return self._best if self._best <= x or x != x else x

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        if not self._best <= x:
            self._best = x

    def snapshot(self) -> Snapshot:
        return {} if self._best != self._best else {"best": self._best}

    def restore(self, snapshot: Snapshot) -> None:
        self._best = snapshot.get("best", NAN)

    def reset(self) -> None:
        self._best = NAN
