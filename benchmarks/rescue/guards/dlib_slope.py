"""dlib's trainer: go back to the last saved state where the loss is rising with near certainty, or is no number.

Every 50 steps the trainer saves, unless the slope of the losses since is positive with a probability above a
threshold: then it reloads what it saved last. At least 30 losses, and up to twice as many as between two saves. The
threshold is 0.99, becomes 0.1 t + 0.9 with each reload (at most 0.99999), and t^10 (at least 0.99) when all is well.
A reload at the highest threshold also takes the learning rate to a tenth, for good and laid over the schedule.
"""

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import erf, isfinite, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from benchmarks.rescue.training import Training, Watch, scaled

SAVE_EVERY, FEWEST = 50, 30
LEAST, MOST, SHRINK = 0.99, 0.99999, 0.1


def probability_of_rise(y: list[float]) -> float:
    """That the slope of the least-squares line through ``y`` is above 0, its error being normal."""
    n, mean = len(y), fmean(y)
    x = [i - (n - 1) / 2 for i in range(n)]
    spread = sum(a * a for a in x)
    slope = sum(a * (b - mean) for a, b in zip(x, y, strict=True)) / spread
    residual = sum((b - mean - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    error = sqrt(residual / (n - 2) / spread)
    return 0.5 * (1 + erf(slope / error / sqrt(2))) if error > 0 else float(slope > 0)


class DlibSlope:
    name = "dlib_slope"
    only_stops = False

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _DlibWatch(training)


class _DlibWatch(Watch):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._losses: deque[float] = deque(maxlen=2 * SAVE_EVERY)
        self._threshold, self._factor, self._saved_at = LEAST, 1.0, 0
        self._saved = self._state()

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        with scaled(self.training.optimizer, self._factor):
            super().step(step, loss, outputs, targets)
        self._losses.append(float(loss))
        if step % SAVE_EVERY == 0:
            self._look(step)

    def _look(self, step: int) -> None:
        losses = list(self._losses)
        broken = not all(map(isfinite, losses))
        if broken or (len(losses) >= FEWEST and probability_of_rise(losses) > self._threshold):
            self.act(step, wasted=step - self._saved_at)
            self.training.model.load_state_dict(self._saved[0])
            self.training.optimizer.load_state_dict(self._saved[1])
            if self._threshold >= MOST:
                self._factor *= SHRINK
            self._threshold = min(0.1 * self._threshold + 0.9, MOST)
            self._losses.clear()
        else:
            self._saved, self._saved_at = self._state(), step
            self._threshold = max(self._threshold**10, LEAST)

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return copy.deepcopy((self.training.model.state_dict(), self.training.optimizer.state_dict()))


GUARDS = (DlibSlope(),)
