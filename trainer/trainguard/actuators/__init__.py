"""The actuators: one small class per kind of action, with one method, ``act``."""

from trainguard.actuators.base import Actuator, Done, Params, Pending, Refused
from trainguard.actuators.checkpointing import RestoreCheckpoint, SaveCheckpoint
from trainguard.actuators.diagnose import Diagnose
from trainguard.actuators.lifecycle import Stop
from trainguard.actuators.lr import RewarmLr, ScaleLr, SetLr
from trainguard.actuators.weight_decay import ScaleWeightDecay, SetWeightDecay
from trainguard.checkpoints import Checkpointer
from trainguard.learning_rate import LearningRate
from trainguard.meter import Meter
from trainguard.weight_decay import WeightDecay

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
    "ScaleLr",
    "ScaleWeightDecay",
    "SetLr",
    "SetWeightDecay",
    "Stop",
    "offered",
]


def offered(
    learning_rate: LearningRate,
    weight_decay: WeightDecay,
    checkpointer: Checkpointer | None,
    meter: Meter,
    stop: Stop,
) -> list[Actuator]:
    """Everything that can be asked of this run."""
    actuators: list[Actuator] = [Diagnose(meter), stop]
    if learning_rate.exists:
        actuators += [ScaleLr(learning_rate), SetLr(learning_rate), RewarmLr(learning_rate)]
    if weight_decay.exists:
        actuators += [ScaleWeightDecay(weight_decay), SetWeightDecay(weight_decay)]
    if checkpointer is not None:
        actuators += [SaveCheckpoint(checkpointer), RestoreCheckpoint(checkpointer)]
    return actuators
