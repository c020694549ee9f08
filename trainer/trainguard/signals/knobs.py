"""Signals of the knobs."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.levers.knobs import Knobs
from trainguard.signals.base import Sensor, StepView, Value


class KnobSensor(Sensor):
    """``knob_<name>``: what the knob of this name read in the step, right before the optimizer's own step."""

    def __init__(self, knobs: Knobs, knob: str) -> None:
        self.name = f"knob_{knob}"
        self.signals = {self.name: 1}
        self._knobs, self._knob = knobs, knob

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {self.name: self._knobs[self._knob].get()}
