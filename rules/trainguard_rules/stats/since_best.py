"""How long ago the signal was at its lowest."""

from trainguard_rules.durations import Moment, Unit, elapsed
from trainguard_rules.stats.base import NAN, Snapshot, Tracker, later, moment


class SinceBest(Tracker):
    """Steps, epochs or seconds since the lowest finite sample; 0 on a new lowest, NaN before the first.

    A sample is a new lowest where it is below the last by more than ``gain``, plus ``relative_gain`` times the
    last one's magnitude.
    """

    def __init__(self, unit: Unit, gain: float = 0.0, relative_gain: float = 0.0) -> None:
        self.unit = unit
        self.gain, self.relative_gain = gain, relative_gain
        self._best = self._bar = float("inf")  # a new lowest is below the bar
        self._when: Moment | None = None

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        if x < self._bar:
            return 0.0
        if self._when is None:
            return NAN
        return elapsed(self._when, moment(step, epoch, time), self.unit)

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        if x < self._bar:
            self._set(x, moment(step, epoch, time))

    def _set(self, best: float, when: Moment) -> None:
        self._best, self._when = best, when
        self._bar = best - self.gain - self.relative_gain * abs(best)

    def snapshot(self) -> Snapshot:
        return {} if self._when is None else {"best": self._best, "when": list(self._when)}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        if snapshot:
            self._set(snapshot["best"], Moment(*snapshot["when"]))

    def shift(self, gone: Moment) -> None:
        if self._when is not None:
            self._when = later(self._when, gone)

    def reset(self) -> None:
        self._best = self._bar = float("inf")
        self._when = None
