"""How long ago a signal last spoke."""

from trainguard_rules.durations import Moment
from trainguard_rules.stats.base import Snapshot, Tracker


class Age(Tracker):
    """Steps since the last sample, finite or not; before the first, steps since the run began.

    Only the step is looked at. `start` tells where a run begins that does not begin at 0. After a restore the age is
    what it was then, or what it is now where that is less: a sample of the steps that were rolled back was heard.
    """

    takes_nonfinite = True

    def __init__(self) -> None:
        self._step = self._heard = 0

    def start(self, step: int) -> None:
        """The run begins (again) after ``step``."""
        self._step = step

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return float(step - self._step)

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        self._step = step

    def snapshot(self) -> Snapshot:
        return {"step": self._step}

    def restore(self, snapshot: Snapshot) -> None:
        self._heard, self._step = self._step, snapshot["step"]

    def shift(self, gone: Moment) -> None:
        self._step = max(self._heard, self._step + gone.step)

    def reset(self) -> None:
        self._step = self._heard = 0
