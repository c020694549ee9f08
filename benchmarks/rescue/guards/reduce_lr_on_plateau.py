"""torch's ReduceLROnPlateau with its defaults, on the mean training loss of each 20 steps.

Its factor is laid over the schedule, which would otherwise write over it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from benchmarks.rescue.training import Training, Watch, scaled

STEPS_PER_EPOCH = 20


class Plateau:
    name = "reduce_lr_on_plateau"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _PlateauWatch(training)


class _PlateauWatch(Watch):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._factor = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        self._plateau = ReduceLROnPlateau(self._factor)
        self._losses: list[float] = []

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        factor = self._factor.param_groups[0]["lr"]
        with scaled(self.training.optimizer, factor):
            super().step(step, loss, outputs, targets)
        self._losses.append(float(loss))
        if len(self._losses) == STEPS_PER_EPOCH:
            self._plateau.step(sum(self._losses) / STEPS_PER_EPOCH)
            self._losses.clear()
            if self._factor.param_groups[0]["lr"] < factor:
                self.act(step)


GUARDS = (Plateau(),)
