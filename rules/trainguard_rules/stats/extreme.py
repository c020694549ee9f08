"""The lowest and the highest value of a sliding window."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from trainguard_rules.stats.base import Snapshot
from trainguard_rules.stats.two_stacks import TwoStacks


class Extreme(TwoStacks):
    """What `Min` and `Max` have in common."""

    nothing: ClassVar[float]
    """The extreme of no samples."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._front: list[float] = []  # at each place, the extreme of the samples behind it
        self._back = self.nothing

    @staticmethod
    @abstractmethod
    def running(samples: Iterable[float]) -> list[float]:
        """The extreme of none of ``samples``, of the first, of the first two, ..."""

    def grow(self, x: float) -> None:
        self._back = self.running([self._back, x])[-1]
        if len(self.samples) >= self.warm:
            self.value = self._back

    def flip(self) -> None:
        extremes = self.running(reversed(self.samples))
        self.value = extremes.pop()
        extremes.reverse()
        self._front, self._back = extremes, self.nothing

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        newer = self.samples[: self.place] if self._front else self.samples
        self._back = self.running(newer)[-1]
        if len(self.samples) >= self.warm:
            self.value = self.running(self.samples)[-1]


class Min(Extreme):
    """Lowest of the last ``window`` samples."""

    nothing = float("inf")

    @staticmethod
    def running(samples: Iterable[float]) -> list[float]:
        extreme = Min.nothing
        extremes = [extreme]
        for x in samples:
            if x < extreme:
                extreme = x
            extremes.append(extreme)
        return extremes

    def update(self, x: float) -> None:
        i = self.place
        if i == self.last:
            self.turn(x)
            return
        self.samples[i] = x
        self.place = i + 1
        back = self._back
        if x < back:
            back = self._back = x
        front = self._front[i]
        self.value = front if front < back else back


class Max(Extreme):
    """Highest of the last ``window`` samples."""

    nothing = float("-inf")

    @staticmethod
    def running(samples: Iterable[float]) -> list[float]:
        extreme = Max.nothing
        extremes = [extreme]
        for x in samples:
            if x > extreme:
                extreme = x
            extremes.append(extreme)
        return extremes

    def update(self, x: float) -> None:
        i = self.place
        if i == self.last:
            self.turn(x)
            return
        self.samples[i] = x
        self.place = i + 1
        back = self._back
        if x > back:
            back = self._back = x
        front = self._front[i]
        self.value = front if front > back else back
