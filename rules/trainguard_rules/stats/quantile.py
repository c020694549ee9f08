"""A quantile of a sliding window, interpolated.

To know the value of one rank it is enough to have the samples around it in order, and to count the others. So
there is a *core*, a sorted list of all samples from ``_low`` to ``_high``, with the rank asked for in its
middle. Most samples come and go outside of it, and cost two comparisons. As they do, the rank moves through the
core; when it has left it, all samples are sorted and a new core is cut out.

An update moves the rank by one at most, so a core of a sixth of the samples lasts for at least a twelfth of the
window, and sorting costs O(log window) a sample at the very worst. Where the signal keeps its level the rank
wanders to and fro, and a core lasts for many windows.
"""

from bisect import bisect_left, bisect_right, insort

from trainguard_rules.stats.base import Reference, Snapshot

INF = float("inf")
LEAST = 12  # samples of the core on each side of the rank


class Quantile(Reference):
    """The ``q``-quantile of the last ``window`` samples, 0 being their minimum and 1 their maximum.

    Of n samples it lies at rank q (n - 1), between two samples linearly interpolated (Hyndman and Fan's
    definition 7, numpy's default).
    """

    def __init__(self, q: float, window: int) -> None:
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q}: has to lie between 0 and 1")
        super().__init__(window)
        self.q = q
        self.samples: list[float] = []  # a ring
        self.place = window  # where the oldest is; while the window fills up, the end
        self._low, self._high = -INF, INF
        self._core = [INF]  # beyond the highest sample, so that there is always a next rank
        self._at = 0  # where in the core the rank is
        self._part = 0.0  # of the way from there to the next
        self._most = 2 * LEAST

    def update(self, x: float) -> None:
        x += 0.0  # so that -0.0 is 0.0: equal values have to be interchangeable
        i, samples = self.place, self.samples
        if i == self.window:
            if len(samples) < i:
                self._grow(x)
                return
            i = 0
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
        if not 0 <= at < len(core) - 1 < self._most:
            self._cut()
        elif self._part == 0.5:  # as `_read` would, which is most often asked for a median
            self.value = core[at] / 2 + core[at + 1] / 2
        else:
            self._read()

    def _grow(self, x: float) -> None:
        rank, _ = self._rank(len(self.samples))
        self.samples.append(x)
        n = len(self.samples)
        now, self._part = self._rank(n)
        self._at += now - rank - (x < self._low)
        if self._low <= x <= self._high:
            insort(self._core, x)
        if not 0 <= self._at < len(self._core) - 1 < self._most:
            self._cut()
        elif n >= self.warm:
            self._read()

    def _rank(self, n: int) -> tuple[int, float]:
        """The rank asked for of ``n`` samples, from 0, and the part of the way to the next."""
        rank = self.q * max(n - 1, 0)
        return int(rank), rank % 1.0

    def _cut(self) -> None:
        """Sort all samples, and cut out the core."""
        ordered = sorted(self.samples)
        n = len(ordered)
        rank, self._part = self._rank(n)
        half = max(LEAST, n // 12)
        low = self._low = ordered[rank - half] if rank > half else -INF
        high = self._high = ordered[rank + half] if rank + half < n else INF
        start = bisect_left(ordered, low)
        self._core = ordered[start : bisect_right(ordered, high)]
        if high == INF:
            self._core.append(INF)
        self._at = rank - start
        self._most = 2 * len(self._core)
        if n >= self.warm:
            self._read()

    def _read(self) -> None:
        low, high = self._core[self._at : self._at + 2]
        part = self._part
        if part == 0.0:
            self.value = low
        elif part == 0.5:
            self.value = low / 2 + high / 2
        else:  # from the nearer end, so that the result is monotonic in q and exact at both
            self.value = low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)

    def snapshot(self) -> Snapshot:
        return {"samples": self.samples[self.place :] + self.samples[: self.place], "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self.samples, self.held = list(snapshot["samples"]), snapshot["held"]
        if self.samples:
            self._cut()

    def reset(self) -> None:
        self.__init__(self.q, self.window)  # type: ignore[misc]
