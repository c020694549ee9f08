"""What most loops have: nothing, or clipping."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.rescue.training import Training, Watch

MAX_NORM = 1.0


class Nothing:
    name = "nothing"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield Watch(training)


class Clipping:
    """``clip_grad_norm_`` with a limit of 1. It is no intervention: it is part of every step."""

    name = "clip_grad_norm"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _ClippingWatch(training)


class _ClippingWatch(Watch):
    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        torch.nn.utils.clip_grad_norm_(self.training.model.parameters(), MAX_NORM)
        super().step(step, loss, outputs, targets)


GUARDS = (Nothing(), Clipping())
