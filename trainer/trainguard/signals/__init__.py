"""The signals of the trainer, one file per family."""

from trainguard.faults import Faults
from trainguard.learning_rate import LearningRate
from trainguard.settings import Settings
from trainguard.signals.activations import ActivationSparsity, DeadUnits
from trainguard.signals.base import Signal
from trainguard.signals.gradients import GradNorm
from trainguard.signals.optimizer import Lr, LrScale, WeightDecaySignal
from trainguard.signals.predictions import Confidence, Loss, PredictionEntropy
from trainguard.signals.timing import StepSeconds
from trainguard.weight_decay import WeightDecay


def offered(
    settings: Settings,
    learning_rate: LearningRate,
    weight_decay: WeightDecay,
    faults: Faults,
) -> list[Signal]:
    """Every signal that can be measured on this model, in the order in which samples carry them."""
    model, watched = settings.model, settings.activations
    signals: list[Signal] = [Loss(), GradNorm(model), Lr(learning_rate), LrScale(learning_rate)]
    if weight_decay.exists:
        signals.append(WeightDecaySignal(weight_decay))
    signals += [Confidence(), PredictionEntropy()]
    if watched:
        signals += [ActivationSparsity(watched, faults), DeadUnits(model, watched, faults)]
    return [*signals, StepSeconds()]
