"""How long ago a signal last spoke."""

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Age(Tracker):
    """Steps since the last sample, finite or not; NaN before the first. What the sample is does not matter."""

    takes_nonfinite = True

    def __init__(self) -> None:
        self._step: int | None = None

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return NAN if self._step is None else float(step - self._step)

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        self._step = step

    def snapshot(self) -> Snapshot:
        return {"step": self._step}

    def restore(self, snapshot: Snapshot) -> None:
        self._step = snapshot["step"]

    def reset(self) -> None:
        self._step = None
