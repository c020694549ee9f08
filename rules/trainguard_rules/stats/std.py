"""The standard deviation of a sliding window.

With y measured from an ``anchor``, it is the root of (Σ y² - (Σ y)² / n) / (n - 1). That subtraction loses
digits where the anchor is far from the samples, as compared to their deviation s. So the anchor is one of them:
no sample is farther than √n s from the mean, and few are farther than some s. It is the newest sample of the
front, which stays in the window until the next flip makes another one the anchor.

T. Chan, G. Golub, R. LeVeque: Algorithms for computing the sample variance, The American Statistician 37 (1983).
"""

from itertools import accumulate
from math import sqrt

from trainguard_rules.stats.base import NAN, Snapshot
from trainguard_rules.stats.two_stacks import TwoStacks


class Std(TwoStacks):
    """Sample standard deviation (n - 1) of the last ``window`` samples; NaN of fewer than two.

    Their mean comes with it, as ``mean``. NaN too where the squares of their distances are too large for a float.
    """

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.warm = max(self.warm, 2)
        self.mean = NAN
        self._anchor = 0.0
        self._sums: list[float] = []  # at each place, of the samples behind it
        self._squares: list[float] = []
        self._sum = self._square = 0.0  # of the back
        self._n, self._less = float(window), window - 1.0

    def update(self, x: float) -> None:
        i = self.place
        if i == self.last:
            self.turn(x)
            return
        self.samples[i] = x
        self.place = i + 1
        anchor = self._anchor
        x -= anchor
        total = self._sum = self._sum + x
        square = self._square = self._square + x * x
        total += self._sums[i]
        mean = total / self._n
        square = square + self._squares[i] - total * mean
        self.mean = anchor + mean
        self.value = sqrt(square / self._less) if square >= 0.0 else square - square

    def grow(self, x: float) -> None:
        if len(self.samples) == 1:
            self._anchor = x
        x -= self._anchor
        self._sum += x
        self._square += x * x
        self._read(self._sum, self._square)

    def flip(self) -> None:
        anchor = self._anchor = self.samples[-1]
        distances = [x - anchor for x in reversed(self.samples)]
        sums = list(accumulate(distances, initial=0.0))
        squares = list(accumulate([y * y for y in distances], initial=0.0))
        self._read(sums.pop(), squares.pop())
        sums.reverse()
        squares.reverse()
        self._sums, self._squares = sums, squares
        self._sum = self._square = 0.0

    def _read(self, total: float, square: float) -> None:
        n = len(self.samples)
        if n >= self.warm:
            mean = total / n
            square -= total * mean
            self.mean = self._anchor + mean
            self.value = sqrt(square / (n - 1)) if square >= 0.0 else square - square

    def snapshot(self) -> Snapshot:
        return {**super().snapshot(), "back": [self._sum, self._square]}

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self._sum, self._square = total, square = snapshot["back"]
        if not self._sums:
            self._anchor = [*self.samples, 0.0][0]
            self._read(total, square)
        elif i := self.place:
            self._read(total + self._sums[i - 1], square + self._squares[i - 1])
