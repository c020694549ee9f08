"""A quantile of a sliding window, interpolated."""

from trainguard_rules.stats.ranks import RankStatistic


class Quantile(RankStatistic):
    """The ``q``-quantile of the last ``window`` samples, 0 being their minimum and 1 their maximum.

    Of n samples it lies at rank q (n - 1), between two samples linearly interpolated (Hyndman and Fan's
    definition 7, numpy's default).
    """

    def __init__(self, q: float, window: int) -> None:
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q}: has to lie between 0 and 1")
        super().__init__(window)
        self.q = q

    def rank(self, n: int) -> int:
        return int(self.q * (n - 1))

    def read(self, low: float, high: float) -> float:
        part = self.q * (len(self.samples) - 1) % 1.0
        if not part:
            return low
        # From the nearer end, so that the result is monotonic in q and exact at both.
        return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)

    def reset(self) -> None:
        self.__init__(self.q, self.window)  # type: ignore[misc]
