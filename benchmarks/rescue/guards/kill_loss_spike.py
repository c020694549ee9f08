"""llm-foundry's KillLossSpike, with its defaults: multiplier 2, patience 4, cap 10, window of 100 or 5 % of the run.

It looks for a spike, and for losses that stay high. A NaN compares false: it sets the count of a spike back, and makes
the mean of the window NaN until it has left it.
"""

from collections import deque
from statistics import fmean

from benchmarks.rescue.stopping import Stopper

MULTIPLIER, PATIENCE, CAP = 2.0, 4, 10.0


class KillLossSpike:
    """A spike is at least twice the mean of the last 100 (or 5 % of the run), more than 4 times running.

    High are losses above 10, or above the largest of the first window where that is less; half of a window of them is
    too many, once there were two windows.
    """

    def __init__(self, steps: int) -> None:
        self._window: deque[float] = deque(maxlen=max(100, steps // 20))
        self._cap: float | None = None
        self._seen = self._running = 0

    def fires(self, loss: float) -> bool:
        fires = len(self._window) == self._window.maxlen and (self._is_spike(loss) or self._is_high())
        self._window.append(loss)
        self._seen += 1
        return fires

    def _is_spike(self, loss: float) -> bool:
        self._running = self._running + 1 if loss >= MULTIPLIER * fmean(self._window) else 0
        return self._running > PATIENCE

    def _is_high(self) -> bool:
        size = len(self._window)
        if self._cap is None:
            self._cap = min(CAP, max(self._window))
        return self._seen >= 2 * size and sum(loss > self._cap for loss in self._window) >= size / 2


GUARDS = (Stopper("kill_loss_spike", lambda training: KillLossSpike(training.steps)),)
