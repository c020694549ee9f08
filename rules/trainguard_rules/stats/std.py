"""The standard deviation of a sliding window, without subtraction.

The window is a queue made of two stacks (see `Mean`), but what is kept of each part is its number of samples,
their mean and their sum of squared deviations M2, which Chan's formula merges: with d the difference of the
means, M2 = M2a + M2b + d² na nb / n. Everything is measured from an ``anchor``, a sample of the window, so
that a large level common to all samples costs no digits. The anchor is the newest sample of the front, and as
it leaves the window, the back becomes the new front with an anchor of its own.

T. Chan, G. Golub, R. LeVeque: Algorithms for computing the sample variance, The American Statistician 37 (1983).
"""

from collections import deque
from collections.abc import Iterable
from math import sqrt

from trainguard_rules.stats.base import Reference, Snapshot


class Std(Reference):
    """Sample standard deviation (n - 1) of the last ``window`` samples; NaN of fewer than two.

    Their mean comes with it, as ``mean``.
    """

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.warm = max(self.warm, 2)
        self.mean = float("nan")
        self._anchor = 0.0
        self._means: list[float] = []  # of the front: of its newest sample, its newest two, ...
        self._squares: list[float] = []
        self._mean = self._square = 0.0  # of the back

    def update(self, x: float) -> None:
        samples, means = self.samples, self._means
        front = len(means) - 1
        if len(samples) < self.window or front < 1:
            self._grow_or_flip(x)
            return
        # What nearly every update is: the oldest leaves the front, the newcomer joins the back.
        n, squares, anchor, mean = self.window, self._squares, self._anchor, self._mean
        samples.popleft()
        samples.append(x)
        means.pop()
        squares.pop()
        back = n - front
        x -= anchor
        d = x - mean
        mean += d / back
        self._mean = mean
        square = self._square = self._square + d * (x - mean)
        d = mean - means[-1]
        self.mean = anchor + mean - d * front / n
        self.value = sqrt((square + squares[-1] + d * d * (front * back / n)) / (n - 1))

    def _grow_or_flip(self, x: float) -> None:
        samples, means = self.samples, self._means
        samples.append(x)
        n = len(samples)
        if n > self.window:
            n -= 1
            samples.popleft()
            if means:
                means.pop()
                self._squares.pop()
            if not means:
                self._flip(samples, x)
                self.value = self._read(n)
                return
        elif n == 1:
            self._anchor = x
        x -= self._anchor
        d = x - self._mean
        self._mean += d / (n - len(means))
        self._square += d * (x - self._mean)
        if n >= self.warm:
            self.value = self._read(n)

    def _read(self, n: int) -> float:
        square, mean = self._square, self._mean
        if means := self._means:
            front, d = len(means), mean - means[-1]
            square += self._squares[-1] + d * d * (front * (n - front) / n)
            mean -= d * front / n
        self.mean = self._anchor + mean
        return sqrt(square / (n - 1)) if n > 1 else float("nan")

    def _flip(self, samples: Iterable[float], anchor: float) -> None:
        """Make all ``samples`` the front."""
        self._anchor, self._mean, self._square = anchor, 0.0, 0.0
        means, squares = self._means, self._squares
        mean = square = 0.0
        for n, x in enumerate(reversed(list(samples)), 1):
            x -= anchor
            d = x - mean
            mean += d / n
            square += d * (x - mean)
            means.append(mean)
            squares.append(square)

    def snapshot(self) -> Snapshot:
        return {
            "samples": list(self.samples),
            "front": len(self._means),
            "anchor": self._anchor,
            "back": [self._mean, self._square],
            "held": self.held,
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self.samples, self.held = deque(snapshot["samples"]), snapshot["held"]
        self._flip(snapshot["samples"][: snapshot["front"]], snapshot["anchor"])
        self._mean, self._square = snapshot["back"]
        if len(self.samples) >= self.warm:
            self.value = self._read(len(self.samples))
