"""Signals of the optimizer, as in effect in the step: read after trainguard's overlay is on."""

from trainguard.learning_rate import LearningRate
from trainguard.signals.base import Signal, StepView, Value
from trainguard.weight_decay import WeightDecay


class Lr(Signal):
    """Learning rate in effect in the step, first param group, trainguard's factor included."""

    name = "lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def measure(self, view: StepView) -> Value:
        return self._learning_rate.seen


class LrScale(Signal):
    """The factor by which trainguard changed the first group's learning rate in the step; 1 where it did not."""

    name = "lr_scale"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def measure(self, view: StepView) -> Value:
        return self._learning_rate.seen_scale


class WeightDecaySignal(Signal):
    """Largest weight decay of the param groups in the step; None where the optimizer knows none."""

    name = "weight_decay"

    def __init__(self, weight_decay: WeightDecay) -> None:
        self._weight_decay = weight_decay

    def measure(self, view: StepView) -> Value:
        return self._weight_decay.seen
