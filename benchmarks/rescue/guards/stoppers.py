"""Detectors that end the run: Lightning's SpikeDetection, llm-foundry's KillLossSpike, Megatron's spiky loss.

In their projects each raises or exits, and somebody restarts by hand. That is what they are scored as.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from statistics import fmean

from torch import Tensor

from benchmarks.rescue.training import Training, Watch


class Detector:
    """Looks at one loss after the other."""

    @abstractmethod
    def fires(self, loss: float) -> bool: ...


class LightningSpike(Detector):
    """Worse than the last loss, and at least 2.0 times the mean of the last 10 away from it; or not finite."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=10)
        self._last: float | None = None

    def fires(self, loss: float) -> bool:
        last, mean = self._last, fmean(self._window) if self._window else loss
        self._last = loss
        if not isfinite(loss):
            return True
        if last is not None and loss > last and abs(loss - mean) >= 2.0 * mean:
            return True
        self._window.append(loss)
        return False


class KillLossSpike(Detector):
    """At least twice the mean of the last 100 (or 5 % of the run), more than 4 times running; once that is full."""

    def __init__(self, steps: int) -> None:
        self._window: deque[float] = deque(maxlen=max(100, steps // 20))
        self._running = 0

    def fires(self, loss: float) -> bool:
        if len(self._window) == self._window.maxlen:
            self._running = self._running + 1 if loss >= 2.0 * fmean(self._window) else 0
        self._window.append(loss)
        return self._running > 4


class MegatronSpiky(Detector):
    """At least ten times the largest of the first 100 losses. A loss that is not finite is fatal there as well."""

    def __init__(self) -> None:
        self._seen, self._largest = 0, 0.0

    def fires(self, loss: float) -> bool:
        if not isfinite(loss):
            return True
        if self._seen < 100:
            self._seen, self._largest = self._seen + 1, max(self._largest, abs(loss))
            return False
        return loss >= 10.0 * self._largest


class Stopper:
    """Ends the run in the step in which its detector fires, before that step's update."""

    only_stops = True

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        detectors = {
            "lightning_spike": LightningSpike,
            "kill_loss_spike": lambda: KillLossSpike(training.steps),
            "megatron_spiky": MegatronSpiky,
        }
        yield _StopperWatch(training, detectors[self.name]())


class _StopperWatch(Watch):
    def __init__(self, training: Training, detector: Detector) -> None:
        super().__init__(training)
        self._detector = detector

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        if self._detector.fires(float(loss)):
            self.act(step)
            self.stopped = True
        else:
            super().step(step, loss, outputs, targets)


GUARDS = tuple(map(Stopper, ("lightning_spike", "kill_loss_spike", "megatron_spiky")))
