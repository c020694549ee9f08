"""How long ago the signal was at its lowest."""

from trainguard_rules.durations import Moment, Unit, elapsed
from trainguard_rules.stats.base import NAN, Snapshot, Tracker, moment


class SinceBest(Tracker):
    """Steps, epochs or seconds since the lowest finite sample; 0 on a new lowest, NaN before the first."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._best = float("inf")
        self._when: Moment | None = None

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        if x < self._best:
            return 0.0
        if self._when is None:
            return NAN
        return elapsed(self._when, moment(step, epoch, time), self.unit)

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        if x < self._best:
            self._best, self._when = x, moment(step, epoch, time)

    def snapshot(self) -> Snapshot:
        return {} if self._when is None else {"best": self._best, "when": list(self._when)}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        if snapshot:
            self._best, self._when = snapshot["best"], Moment(*snapshot["when"])

    def reset(self) -> None:
        self._best, self._when = float("inf"), None
