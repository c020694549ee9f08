"""llm-foundry's KillLossSpike, with its defaults: multiplier 2, patience 4, window of 100 or 5 % of the run.

A NaN compares false: it sets the count back, and makes the mean of the window NaN until it has left it.
"""

from collections import deque
from statistics import fmean

from benchmarks.rescue.stopping import Stopper


class KillLossSpike:
    """At least twice the mean of the last 100 (or 5 % of the run), more than 4 times running; once that is full."""

    def __init__(self, steps: int) -> None:
        self._window: deque[float] = deque(maxlen=max(100, steps // 20))
        self._running = 0

    def fires(self, loss: float) -> bool:
        if len(self._window) == self._window.maxlen:
            self._running = self._running + 1 if loss >= 2.0 * fmean(self._window) else 0
        self._window.append(loss)
        return self._running > 4


GUARDS = (Stopper("kill_loss_spike", lambda training: KillLossSpike(training.steps)),)
