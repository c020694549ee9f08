"""The signals of the trainer, one file per family."""

from trainguard.faults import Faults
from trainguard.levers import Levers
from trainguard.settings import Settings
from trainguard.signals.activations import ActivationSparsity, DeadUnits
from trainguard.signals.base import Sensor
from trainguard.signals.gating import GateSensor
from trainguard.signals.gradients import Gradients
from trainguard.signals.knobs import KnobSensor
from trainguard.signals.optimizer import LearningRateSensor, WeightDecaySensor
from trainguard.signals.predictions import Confidence, Loss, PredictionEntropy
from trainguard.signals.timing import StepSeconds


def offered(
    settings: Settings,
    levers: Levers,
    faults: Faults,
) -> list[Sensor]:
    """A sensor for every signal that can be measured on this model, in the order in which samples carry them."""
    model, watched = settings.model, settings.activations
    sensors: list[Sensor] = [Loss(), Gradients(model), LearningRateSensor(levers.learning_rate)]
    if levers.weight_decay.exists:
        sensors.append(WeightDecaySensor(levers.weight_decay))
    sensors += [Confidence(), PredictionEntropy()]
    if watched:
        sensors += [ActivationSparsity(watched, faults), DeadUnits(model, watched, faults)]
    sensors += [KnobSensor(levers.knobs, name) for name in levers.knobs]
    return [*sensors, GateSensor(levers.gate), StepSeconds()]
