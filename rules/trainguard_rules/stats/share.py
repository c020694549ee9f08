"""How often something held in a sliding window, as a share of the samples."""

from trainguard_rules.stats.count import Count


class Share(Count):
    """Which share of the last ``window`` samples, or of as many as there are, were 1; the current one included."""

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return (self._count + x) / (len(self._samples) + 1)
