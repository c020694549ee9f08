"""Statistics that ask for one rank of a sliding window, such as the median.

To know the value of a rank it is enough to have the samples around it in order and to count the others. So
there is a *core*, a sorted list of all samples from ``_low`` to ``_high``, with the rank asked for in its
middle. Most samples come and go outside of it, and cost two comparisons. As they do, the rank moves through the
core; when it has left it, all samples are sorted and a new core is cut out.

An update moves the rank by one at most, so a core of a sixth of the samples lasts for at least a twelfth of the
window, and sorting costs O(log window) a sample at the very worst. Where the signal keeps its level the rank
wanders to and fro, and a core lasts for many windows.
"""

from abc import abstractmethod
from bisect import bisect_left, bisect_right, insort

from trainguard_rules.stats.base import Reference, Snapshot

INF = float("inf")
LEAST = 12  # samples of the core on each side of the rank


class RankStatistic(Reference):
    """A statistic read from one rank of the last ``window`` samples, and the next.

    The samples lie in a ring, the oldest at ``place``. While the window fills up, ``place`` is its end.
    """

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.samples: list[float] = []
        self.place = window
        self._low, self._high = -INF, INF
        self._core = [INF]  # beyond the highest sample, so that there is a next rank always
        self._at = 0  # where in the core the rank is
        self._most = 2 * LEAST

    @abstractmethod
    def rank(self, n: int) -> int:
        """The rank asked for of ``n`` samples, from 0."""

    @abstractmethod
    def read(self, low: float, high: float) -> float:
        """The statistic, from the values of the rank and of the next."""

    def update(self, x: float) -> None:
        i = self.place
        samples = self.samples
        if i == self.window:
            if len(samples) < i:
                self._grow(x + 0.0)
                return
            i = 0
        x += 0.0  # so that -0.0 is 0.0: equal values have to be interchangeable
        old = samples[i]
        samples[i] = x
        self.place = i + 1
        low, high, core = self._low, self._high, self._core
        if old < low:
            if x < low:
                return
            self._at += 1
        elif old > high:
            if x > high:
                return
        else:
            del core[bisect_left(core, old)]
        if x < low:
            self._at -= 1
        elif x <= high:
            insort(core, x)
        at = self._at
        if 0 <= at < len(core) - 1 < self._most:
            self.value = self.read(core[at], core[at + 1])
        else:
            self._cut()

    def _grow(self, x: float) -> None:
        self.samples.append(x)
        n = len(self.samples)
        self._at += self.rank(n) - self.rank(max(n - 1, 1))
        if x < self._low:
            self._at -= 1
        elif x <= self._high:
            insort(self._core, x)
        if not 0 <= self._at < len(self._core) - 1 < self._most:
            self._cut()
        elif n >= self.warm:
            self.value = self.read(self._core[self._at], self._core[self._at + 1])

    def _cut(self) -> None:
        """Sort all samples, and cut out the core."""
        ordered = sorted(self.samples)
        n = len(ordered)
        rank, half = self.rank(n), max(LEAST, n // 12)
        low = self._low = ordered[rank - half] if rank > half else -INF
        high = self._high = ordered[rank + half] if rank + half < n else INF
        start = bisect_left(ordered, low)
        core = self._core = ordered[start : bisect_right(ordered, high)]
        if high == INF:
            core.append(INF)
        self._at = rank - start
        self._most = 2 * len(core)
        if n >= self.warm:
            self.value = self.read(core[self._at], core[self._at + 1])

    def snapshot(self) -> Snapshot:
        return {"samples": self.samples[self.place :] + self.samples[: self.place], "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self.samples, self.held = list(snapshot["samples"]), snapshot["held"]
        if self.samples:
            self._cut()
