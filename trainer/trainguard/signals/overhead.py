"""Signals of the guard itself."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.measuring.overhead import Overhead
from trainguard.signals.base import Sensor, StepView, Value, every


class OverheadSensor(Sensor):
    """``overhead_ratio``: share of the time that the guard took, with the last thousand steps weighing most."""

    name = "overhead"
    computes = False
    signals = every(overhead_ratio=10)

    def __init__(self, overhead: Overhead) -> None:
        self._overhead = overhead

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"overhead_ratio": self._overhead.ratio}
