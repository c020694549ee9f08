"""How long ago a signal last spoke."""

from trainguard_rules.durations import Moment
from trainguard_rules.stats.base import Snapshot, Tracker


class Age(Tracker):
    """Steps since the last sample, finite or not; before the first, steps since the run began.

    Only the step is looked at. `start` tells where a run begins that does not begin at 0.
    """

    takes_nonfinite = True

    def __init__(self) -> None:
        self._step = 0

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
        self._step = snapshot["step"]

    def shift(self, gone: Moment) -> None:
        self._step += gone.step

    def reset(self) -> None:
        self._step = 0
