"""The actuators: one small class per kind of action, with one method, ``act``."""

from trainguard.actuators.base import Actuator, Done, Params, Pending, Refused
from trainguard.actuators.checkpointing import RestoreCheckpoint, SaveCheckpoint
from trainguard.actuators.diagnose import Diagnose
from trainguard.actuators.knobs import ScaleKnob, SetKnob
from trainguard.actuators.lifecycle import Pause, Resume, Stop
from trainguard.actuators.lr import RewarmLr, ScaleLr, SetLr
from trainguard.actuators.updates import SetGate, SkipSteps
from trainguard.actuators.weight_decay import ScaleWeightDecay, SetWeightDecay
from trainguard.checkpoints.base import Checkpoints
from trainguard.exchange.pausing import Pausing
from trainguard.levers.levers import Levers
from trainguard.measuring.meter import Meter

__all__ = [
    "Actuator",
    "Diagnose",
    "Done",
    "Params",
    "Pause",
    "Pending",
    "Refused",
    "RestoreCheckpoint",
    "Resume",
    "RewarmLr",
    "SaveCheckpoint",
    "ScaleKnob",
    "ScaleLr",
    "ScaleWeightDecay",
    "SetGate",
    "SetKnob",
    "SetLr",
    "SetWeightDecay",
    "SkipSteps",
    "Stop",
    "offered",
]


def offered(
    levers: Levers,
    checkpointer: Checkpoints | None,
    meter: Meter,
    pausing: Pausing,
    stop: Stop,
) -> list[Actuator]:
    """Everything that can be asked of this run."""
    actuators: list[Actuator] = [Diagnose(meter), stop, Pause(pausing), Resume(pausing)]
    actuators += [SkipSteps(levers.skipping), SetGate(levers.gate)]
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
