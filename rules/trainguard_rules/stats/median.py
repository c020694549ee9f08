"""The median of a sliding window."""

from trainguard_rules.stats.sorted_window import RankStatistic


class Median(RankStatistic):
    """Median of the last ``window`` samples; of an even number, the mean of the two in the middle."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._middle = self.ordered.finger()

    def read(self, n: int) -> float:
        low, high = self._middle.pair((n + 1) >> 1)
        return low if n & 1 else low / 2 + high / 2
