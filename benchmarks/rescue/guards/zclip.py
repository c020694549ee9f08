"""ZClip: clips the gradient norm where it is more than 2.5 deviations above its running mean, and at 1.0 in any case.

Running mean and variance with alpha 0.97, begun from the first 25 norms; z = (norm - mean) / std. Where z > 2.5 the
norm is clipped to mean + 2.5 std / (z / 2.5), and that is what the statistics learn. A clipping by z counts as an
intervention here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, pvariance

import torch
from torch import Tensor

from benchmarks.rescue.training import Training, Watch

ALPHA, Z, MAX_NORM, WARMUP, EPS = 0.97, 2.5, 1.0, 25, 1e-6


class ZScore:
    """The limit for the next gradient norm, from those before it."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._mean = self._variance = 0.0

    def limit(self, norm: float) -> float:
        """What to clip this norm to; the norm itself where it is no outlier. Learns it."""
        if len(self._first) < WARMUP:
            self._first.append(norm)
            if len(self._first) == WARMUP:
                self._mean, self._variance = fmean(self._first), pvariance(self._first)
            return norm
        std = self._variance**0.5
        z = (norm - self._mean) / (std + EPS)
        limit = self._mean + Z * std / (z / Z) if z > Z else norm
        self._mean = ALPHA * self._mean + (1 - ALPHA) * limit
        self._variance = ALPHA * self._variance + (1 - ALPHA) * (limit - self._mean) ** 2
        return limit


class ZClip:
    name = "zclip"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _ZClipWatch(training)


class _ZClipWatch(Watch):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._score = ZScore()

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        parameters = list(self.training.model.parameters())
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        limit = self._score.limit(norm)
        if limit < norm:
            self.act(step)
        torch.nn.utils.clip_grad_norm_(parameters, min(limit, MAX_NORM))
        super().step(step, loss, outputs, targets)


GUARDS = (ZClip(),)
