"""Guards that can only end the run: each looks at one loss after the other.

In their projects such a detector raises or exits, and somebody restarts by hand. That is what it is scored as.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from torch import Tensor

from benchmarks.rescue.training import Training, Watch


class Detector(Protocol):
    def fires(self, loss: float) -> bool: ...


class Stopper:
    """Ends the run in the step in which the detector fires, before that step's update."""

    only_stops = True

    def __init__(self, name: str, detector: Callable[[Training], Detector]) -> None:
        self.name, self._detector = name, detector

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        yield _StopperWatch(training, self._detector(training))


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
