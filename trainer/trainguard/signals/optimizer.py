"""Signals of the optimizer, as in effect in the step: read after trainguard's overlay is on."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from trainguard.levers.learning_rate import LearningRate
from trainguard.levers.weight_decay import WeightDecay
from trainguard.signals.base import Sensor, StepView, Value, every


class LearningRateSensor(Sensor):
    """``lr`` and ``lr_scale``.

    ``lr``: learning rate in effect in the step, first param group, trainguard's factor included.
    ``lr_scale``: the factor by which trainguard changed it in the step; 1 where it did not.
    """

    name = "lr"
    computes = False
    signals = every(lr=1, lr_scale=1)

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"lr": self._learning_rate.seen, "lr_scale": self._learning_rate.seen_scale}


class WeightDecaySensor(Sensor):
    """``weight_decay``: the largest of the param groups in the step; None where the optimizer knows none."""

    name = "weight_decay"
    computes = False
    signals = every(weight_decay=10)

    def __init__(self, weight_decay: WeightDecay) -> None:
        self._weight_decay = weight_decay

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"weight_decay": self._weight_decay.latest}
