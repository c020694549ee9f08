"""Signals of time."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.signals.base import Sensor, StepView, Value, every


class StepSeconds(Sensor):
    """``step_seconds``: from the end of the last guarded step to the end of this one; None in the first step.

    Everything the loop does in between counts: loading data, a validation phase, the guard itself.
    """

    name = "step_seconds"
    signals = every(step_seconds=1)

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"step_seconds": view.seconds}
