"""How often a signal was not a finite number."""

from trainguard_rules.stats.count import Count


class NonFinite(Count):
    """How many of the last ``window`` samples, the current one included, were NaN or infinite."""

    takes_nonfinite = True

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return self._count if x - x == 0.0 else self._count + 1.0

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        super().update(0.0 if x - x == 0.0 else 1.0, step, epoch, time)
