"""The lowest and the highest value of a sliding window, by two stacks (see `Mean`)."""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from trainguard_rules.stats.base import Reference, Snapshot


class Extreme(Reference):
    """What `Min` and `Max` have in common."""

    nothing: ClassVar[float]
    """The extreme of no samples."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._front: list[float] = []
        self._back = self.nothing

    @staticmethod
    @abstractmethod
    def running(samples: Iterable[float]) -> list[float]:
        """The extreme of the first of ``samples``, of the first two, ..."""

    def snapshot(self) -> Snapshot:
        return {"samples": list(self.samples), "front": len(self._front), "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        samples, cut = snapshot["samples"], snapshot["front"]
        self.samples, self.held = deque(samples), snapshot["held"]
        self._front = self.running(reversed(samples[:cut]))
        self._back = [self.nothing, *self.running(samples[cut:])][-1]
        if len(samples) >= self.warm:
            self.value = self.running([*self._front[-1:], self._back])[-1]


class Min(Extreme):
    """Lowest of the last ``window`` samples."""

    nothing = float("inf")

    @staticmethod
    def running(samples: Iterable[float]) -> list[float]:
        extremes: list[float] = []
        extreme = Min.nothing
        for x in samples:
            if x < extreme:
                extreme = x
            extremes.append(extreme)
        return extremes

    def update(self, x: float) -> None:
        samples, front, back = self.samples, self._front, self._back
        if len(samples) == self.window:
            if not front:
                front = self._front = self.running(reversed(samples))
                back = self.nothing
            front.pop()
            samples.popleft()
        samples.append(x)
        if x < back:
            back = x
        self._back = back
        if len(samples) >= self.warm:
            self.value = front[-1] if front and front[-1] < back else back


class Max(Extreme):
    """Highest of the last ``window`` samples."""

    nothing = float("-inf")

    @staticmethod
    def running(samples: Iterable[float]) -> list[float]:
        extremes: list[float] = []
        extreme = Max.nothing
        for x in samples:
            if x > extreme:
                extreme = x
            extremes.append(extreme)
        return extremes

    def update(self, x: float) -> None:
        samples, front, back = self.samples, self._front, self._back
        if len(samples) == self.window:
            if not front:
                front = self._front = self.running(reversed(samples))
                back = self.nothing
            front.pop()
            samples.popleft()
        samples.append(x)
        if x > back:
            back = x
        self._back = back
        if len(samples) >= self.warm:
            self.value = front[-1] if front and front[-1] > back else back
