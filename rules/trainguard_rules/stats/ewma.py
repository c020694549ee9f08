"""The exponentially weighted mean."""

from math import isfinite

from trainguard_rules.stats.base import Reference, Snapshot


class Ewma(Reference):
    """Mean in which a sample weighs ``1 - alpha`` times the one after it, with ``alpha = 2 / (span + 1)``.

    The weights then have the centre of mass of a plain window of ``span`` samples. The first sample is the
    first mean. ``value`` is NaN until there are half of ``span`` samples.
    """

    def __init__(self, span: int) -> None:
        super().__init__(span)
        self._alpha = 2 / (span + 1)
        self._mean = 0.0
        self._n = 0  # samples so far, counted up to `warm`

    def update(self, x: float) -> None:
        mean = self.value
        mean += self._alpha * (x - mean)
        if mean - mean == 0.0:
            self.value = self._mean = mean
        else:  # still NaN, or values of 1e308 that lie infinitely far apart
            self._grow(x)

    def _grow(self, x: float) -> None:
        mean = self._mean
        if self._n < self.warm:
            self._n += 1
            if self._n == 1:
                mean = x
        d = x - mean
        # Of near-equal values the step form loses nothing, and the other form does not overflow.
        mean = mean + self._alpha * d if isfinite(d) else mean * (1 - self._alpha) + x * self._alpha
        self._mean = mean
        if self._n == self.warm:
            self.value = mean

    def snapshot(self) -> Snapshot:
        return {"mean": self._mean, "n": self._n, "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self._mean, self._n, self.held = snapshot["mean"], snapshot["n"], snapshot["held"]
        if self._n == self.warm:
            self.value = self._mean
