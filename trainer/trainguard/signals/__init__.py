"""The signals of the trainer: one file per family, sensors that measure them, and here the list of all."""

import logging

from trainguard.faults import Faults
from trainguard.levers.levers import Levers
from trainguard.measuring.overhead import Overhead
from trainguard.settings import Settings
from trainguard.signals.activations import Activations
from trainguard.signals.base import Sensor
from trainguard.signals.features import Features, source_of
from trainguard.signals.gradients import ClippedNorm, Gradients, Layers
from trainguard.signals.hooks import outside_compiled
from trainguard.signals.knobs import KnobSensor
from trainguard.signals.levers import LeverSensor
from trainguard.signals.moments import RmsRatio
from trainguard.signals.overhead import OverheadSensor
from trainguard.signals.predictions import BiasConflict, Loss, Predictions
from trainguard.signals.resources import Memory, Time
from trainguard.signals.weights import UpdateRatio, Weights

logger = logging.getLogger("trainguard")


def offered(
    settings: Settings,
    levers: Levers,
    overhead: Overhead,
    faults: Faults,
) -> list[Sensor]:
    """A sensor for every signal that can be measured on this model, in the order in which samples carry them."""
    model = settings.model
    gradients: list[Sensor] = [Gradients(model), Layers(model)]
    weights: list[Sensor] = [RmsRatio(model), UpdateRatio(model), Weights(model)]
    if settings.sharding is not None:
        logger.warning("%s: of gradients and weights, only the norm that clip_ finds is measured", settings.sharding)
        gradients, weights = [ClippedNorm()], []
    return [
        Loss(),
        *gradients,
        LeverSensor(levers),
        *[KnobSensor(levers.knobs, name) for name in levers.knobs],
        Predictions(),
        BiasConflict(),
        *_hooked(settings, faults),
        *weights,
        Time(),
        Memory(model),
        OverheadSensor(overhead),
    ]


def _hooked(settings: Settings, faults: Faults) -> list[Sensor]:
    """Sensors that look into the forward pass. Compiled code does not let them: that is said."""
    model, sensors = settings.model, list[Sensor]()
    watched = outside_compiled(model, settings.activations)
    source = settings.features or source_of(model)
    visible = outside_compiled(model, [source] if source else [])
    if watched:
        sensors.append(Activations(model, watched, faults))
    if visible:
        is_source = settings.features is not None
        sensors.append(Features(visible[0], is_source, faults))
    if num_hidden := len(settings.activations) - len(watched):
        logger.warning("%s activation modules lie in compiled code, where they cannot be watched", num_hidden)
    if source and not visible:
        logger.warning("the features lie in compiled code: their signals are not measured")
    return sensors
