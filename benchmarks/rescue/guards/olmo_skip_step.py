"""OLMo's skip-step optimizer: no update where the loss or the gradient norm is far above its last 128.

Far is more than 6 sample standard deviations above the mean, the current value excluded; from 64 values on. What
is skipped enters the window all the same, and a NaN is skipped, as are the 128 steps whose window holds it. Before
the 64th value nothing is skipped, a NaN neither.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

from benchmarks.rescue.training import Training, Watch

WINDOW, SIGMAS, WARM = 128, 6.0, 64


class Band:
    """Whether a value is within the band of the last ones. Any NaN makes it ask for caution."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW)

    def allows(self, value: float) -> bool:
        window = self._window
        allowed = True
        if len(window) >= WARM:
            clean = all(x - x == 0.0 for x in window)
            mean, deviation = (fmean(window), stdev(window)) if clean else (nan, nan)
            allowed = value - mean <= SIGMAS * deviation
        window.append(value)
        return allowed


class SkipStep:
    name = "olmo_skip_step"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _SkipStepWatch(training)


class _SkipStepWatch(Watch):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._loss, self._norm = Band(), Band()

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        grads = [parameter.grad for parameter in self.training.model.parameters() if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads))
        allowed = [self._loss.allows(float(loss)), self._norm.allows(norm)]
        if all(allowed):
            super().step(step, loss, outputs, targets)
        else:
            self.act(step, wasted=1)


GUARDS = (SkipStep(),)
