"""The actuators: one small class per kind of action, with one method, ``act``."""

from trainguard.actuators.base import Actuator, Done, Params, Pending, Refused
from trainguard.actuators.checkpointing import RestoreCheckpoint, SaveCheckpoint
from trainguard.actuators.diagnose import Diagnose
from trainguard.actuators.knobs import ScaleKnob, SetKnob
from trainguard.actuators.lifecycle import Stop
from trainguard.actuators.lr import RewarmLr, ScaleLr, SetLr
from trainguard.actuators.weight_decay import ScaleWeightDecay, SetWeightDecay
from trainguard.checkpoints import Checkpointer
from trainguard.levers import Levers
from trainguard.meter import Meter

__all__ = [
    "Actuator",
    "Diagnose",
    "Done",
    "Params",
    "Pending",
    "Refused",
    "RestoreCheckpoint",
    "RewarmLr",
    "SaveCheckpoint",
    "ScaleKnob",
    "ScaleLr",
    "ScaleWeightDecay",
    "SetKnob",
    "SetLr",
    "SetWeightDecay",
    "Stop",
    "offered",
]


def offered(
    levers: Levers,
    checkpointer: Checkpointer | None,
    meter: Meter,
    stop: Stop,
) -> list[Actuator]:
    """Everything that can be asked of this run."""
    actuators: list[Actuator] = [Diagnose(meter), stop]
    rate, decay = levers.learning_rate, levers.weight_decay
    if rate.exists:
        actuators += [ScaleLr(rate), SetLr(rate), RewarmLr(rate)]
    if decay.exists:
        actuators += [ScaleWeightDecay(decay), SetWeightDecay(decay)]
    if levers.knobs:
        actuators += [SetKnob(levers.knobs), ScaleKnob(levers.knobs)]
    if checkpointer is not None:
        actuators += [SaveCheckpoint(checkpointer), RestoreCheckpoint(checkpointer)]
    return actuators
