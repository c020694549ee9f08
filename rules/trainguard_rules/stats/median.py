"""The median of a sliding window."""

from trainguard_rules.stats.quantile import Quantile


class Median(Quantile):
    """Median of the last ``window`` samples; of an even number, the mean of the two in the middle."""

    def __init__(self, window: int) -> None:
        super().__init__(0.5, window)

    def reset(self) -> None:
        self.__init__(self.window)  # type: ignore[misc]
