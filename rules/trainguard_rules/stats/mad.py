"""The median absolute deviation of a sliding window.

The k samples nearest to the median m are neighbours in sorted order, of ranks low, ..., low + k - 1, and the
largest of their deviations is at one of the ends. The range begins at the first ``low`` where sample ``low``
is no farther from m than sample ``low + k`` is: a binary search. From one update to the next ``low`` hardly
moves, so the search sets out from where it was, in strides that double, and halves what is left from there.
"""

from collections import deque

from trainguard_rules.stats.base import NAN, Reference, Snapshot
from trainguard_rules.stats.sorted_window import SortedWindow


class Mad(Reference):
    """Median of the distances of the last ``window`` samples from their median.

    As it is: for normal samples, 1.4826 times this is the standard deviation. The median comes with it.
    """

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.median = NAN
        self.samples: deque[float] = deque()
        self.ordered = SortedWindow()
        self._middle, self._lower, self._upper = (self.ordered.finger() for _ in range(3))
        self._low = 1

    def update(self, x: float) -> None:
        x += 0.0  # so that -0.0 is 0.0
        samples = self.samples
        if len(samples) == self.window:
            self.ordered.replace(samples.popleft(), x)
        else:
            self.ordered.add(x)
        samples.append(x)
        n = len(samples)
        if n >= self.warm:
            self.value = self._read(n)

    def _read(self, n: int) -> float:
        low_middle, high_middle = self._middle.pair((n + 1) >> 1)
        m = self.median = low_middle if n & 1 else low_middle / 2 + high_middle / 2
        k = (n + 1) >> 1
        least, most, stride = 1, n - k + 1, 1
        low = min(self._low, most)
        lower, upper = self._lower.pair, self._upper.pair
        while True:
            outer, inner = lower(low - 1)
            last, beyond = upper(low + k - 1)
            if m - inner > beyond - m and low < most:
                least = low + 1
                low += stride
            elif m - outer <= last - m and low > least:
                most = low - 1
                low -= stride
            else:
                break
            if not least <= low <= most:
                low = (least + most) >> 1
            stride *= 2
        self._low = low
        left, right = m - inner, last - m
        deviation = left if left > right else right
        if n & 1:
            return deviation
        left, right = m - outer, beyond - m
        return deviation / 2 + (left if left < right else right) / 2

    def snapshot(self) -> Snapshot:
        return {"samples": list(self.samples), "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self.samples, self.held = deque(snapshot["samples"]), snapshot["held"]
        self.ordered.fill(snapshot["samples"])
        if len(self.samples) >= self.warm:
            self.value = self._read(len(self.samples))
