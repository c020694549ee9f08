"""Lightning's SpikeDetection callback, with its defaults: window 10, warm-up 1, rtol 2.0, finite_only."""

from collections import deque
from math import isfinite
from statistics import fmean

from benchmarks.rescue.stopping import Stopper


class LightningSpike:
    """Worse than the last loss, and at least 2.0 times the mean of the last 10 away from it; or not finite."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=10)
        self._last: float | None = None

    def fires(self, loss: float) -> bool:
        last, mean = self._last, fmean(self._window) if self._window else loss
        self._last = loss
        if not isfinite(loss):
            return True
        if last is not None and loss > last and abs(loss - mean) >= 2.0 * mean:
            return True
        self._window.append(loss)
        return False


GUARDS = (Stopper("lightning_spike", lambda training: LightningSpike()),)
