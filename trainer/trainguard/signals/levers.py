"""Signals of what trainguard can change, as in effect in the step: read after its overlays are on."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.levers.levers import Levers
from trainguard.signals.base import Sensor, StepView, Value, every


class LeverSensor(Sensor):
    """``gated``, ``skipped``, ``lr``, ``lr_scale`` and ``weight_decay``.

    ``gated``: updates that the gate dropped since it was last measured; None while the gate is off.
    ``skipped``: 1 in a step whose update ``skip_steps`` had dropped, else 0; None before it was ever asked to, here or
    in the run that this one resumes.
    ``lr``: learning rate in effect in the step, first param group, trainguard's factor included.
    ``lr_scale``: the factor by which trainguard changed it in the step; 1 where it did not.
    ``weight_decay``: the largest of the param groups in the step; not offered where the optimizer knows none.
    """

    name = "levers"
    computes = False

    def __init__(self, levers: Levers) -> None:
        self._gate, self._skipping = levers.gate, levers.skipping
        self._learning_rate, self._weight_decay = levers.learning_rate, levers.weight_decay
        signals = every(gated=1, skipped=1, lr=1, lr_scale=1)
        self.signals = {**signals, "weight_decay": 10} if levers.weight_decay.exists else signals

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        values: dict[str, Value] = {"lr": self._learning_rate.seen, "lr_scale": self._learning_rate.seen_scale}
        if self._gate.is_on and "gated" in due:
            values["gated"] = self._gate.take_count()
        if self._skipping.until:
            values["skipped"] = float(view.step <= self._skipping.until)
        if "weight_decay" in due:
            values["weight_decay"] = self._weight_decay.latest
        return values
