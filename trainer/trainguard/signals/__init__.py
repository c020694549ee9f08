"""The signals of the trainer, one file per family."""

from trainguard.faults import Faults
from trainguard.gate import Gate
from trainguard.learning_rate import LearningRate
from trainguard.settings import Settings
from trainguard.signals.activations import ActivationSparsity, DeadUnits
from trainguard.signals.base import Sensor
from trainguard.signals.gating import GateSensor
from trainguard.signals.gradients import Gradients
from trainguard.signals.optimizer import LearningRateSensor, WeightDecaySensor
from trainguard.signals.predictions import Confidence, Loss, PredictionEntropy
from trainguard.signals.timing import StepSeconds
from trainguard.weight_decay import WeightDecay


def offered(
    settings: Settings,
    learning_rate: LearningRate,
    weight_decay: WeightDecay,
    gate: Gate,
    faults: Faults,
) -> list[Sensor]:
    """A sensor for every signal that can be measured on this model, in the order in which samples carry them."""
    model, watched = settings.model, settings.activations
    sensors: list[Sensor] = [Loss(), Gradients(model), LearningRateSensor(learning_rate)]
    if weight_decay.exists:
        sensors.append(WeightDecaySensor(weight_decay))
    sensors += [Confidence(), PredictionEntropy()]
    if watched:
        sensors += [ActivationSparsity(watched, faults), DeadUnits(model, watched, faults)]
    return [*sensors, GateSensor(gate), StepSeconds()]
