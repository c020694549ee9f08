"""Signals of the gate."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.updating.gate import Gate


class GateSensor(Sensor):
    """``gated``: updates that the gate dropped since it was last measured; None while the gate is off."""

    name = "gate"
    computes = False
    signals = every(gated=1)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"gated": self._gate.take_count()} if self._gate.is_on else {}
