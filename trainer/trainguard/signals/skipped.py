"""Signals of skipping."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.updating.skipping import Skipping


class SkippingSensor(Sensor):
    """``skipped``: 1 in a step whose update ``skip_steps`` had dropped, else 0; None before it was ever asked to."""

    name = "skipped"
    computes = False
    signals = every(skipped=1)

    def __init__(self, skipping: Skipping) -> None:
        self._skipping = skipping

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"skipped": float(view.step <= self._skipping.until)} if self._skipping.until else {}
