"""The mean of a sliding window."""

from itertools import accumulate

from trainguard_rules.stats.base import Snapshot
from trainguard_rules.stats.two_stacks import TwoStacks


class Mean(TwoStacks):
    """Arithmetic mean of the last ``window`` samples."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._front: list[float] = []  # at each place, the sum of the samples behind it
        self._back = 0.0

    def update(self, x: float) -> None:
        i = self.place
        if i == self.last:
            self.turn(x)
            return
        self.samples[i] = x
        self.place = i + 1
        back = self._back = self._back + x
        self.value = (self._front[i] + back) / self.window

    def grow(self, x: float) -> None:
        self._back += x
        self._read(self._back)

    def flip(self) -> None:
        sums = list(accumulate(reversed(self.samples), initial=0.0))
        self._read(sums.pop())
        sums.reverse()
        self._front, self._back = sums, 0.0

    def _read(self, total: float) -> None:
        if len(self.samples) >= self.warm:
            self.value = total / len(self.samples)

    def snapshot(self) -> Snapshot:
        return {**super().snapshot(), "back": self._back}

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self._back = snapshot["back"]
        if not self._front:
            self._read(self._back)
        elif self.place:
            self._read(self._front[self.place - 1] + self._back)
