"""The median of a sliding window."""

from trainguard_rules.stats.ranks import RankStatistic


class Median(RankStatistic):
    """Median of the last ``window`` samples; of an even number, the mean of the two in the middle."""

    def rank(self, n: int) -> int:
        return (n - 1) >> 1

    def read(self, low: float, high: float) -> float:
        return low if len(self.samples) & 1 else low / 2 + high / 2
