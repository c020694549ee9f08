"""Signals of what training costs: time and memory."""

import os
import resource
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from trainguard.signals.base import Sensor, StepView, Value, every

_STATM = "/proc/self/statm"


class Time(Sensor):
    """``step_seconds`` and ``throughput``; none in the first step.

    ``step_seconds``: from the end of the last guarded step to the end of this one. Everything the loop does in
    between counts: loading data, a validation phase, the guard itself.
    ``throughput``: samples per second: the length of the targets, if they are a tensor, or else of the logits, over
    step_seconds. Of several micro-batches in one step the guard sees the last one only, so that the value is too small
    by their number.
    """

    name = "time"
    computes = False
    signals = every(step_seconds=1, throughput=1)

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        values: dict[str, Value] = {"step_seconds": view.seconds}
        batch = view.targets if isinstance(view.targets, Tensor) else view.logits
        if view.seconds and isinstance(batch, Tensor) and batch.dim():
            values["throughput"] = batch.shape[0] / view.seconds
        return values


class Memory(Sensor):
    """``memory_bytes``: the most that tensors ever took of the model's CUDA device; without one, what the process has
    resident now.
    """

    name = "memory_bytes"
    computes = False
    signals = every(memory_bytes=100)

    def __init__(self, model: nn.Module) -> None:
        devices = [parameter.device for parameter in model.parameters() if parameter.is_cuda]
        self._device = devices[0] if devices else None

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if self._device is not None:
            return {"memory_bytes": float(torch.cuda.max_memory_allocated(self._device))}
        return {"memory_bytes": float(resident_bytes())}


def resident_bytes() -> int:
    """Memory of this process that is resident; where the system does not tell, the most that ever was."""
    try:
        statm = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(statm, 256).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        finally:
            os.close(statm)
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
