"""The trend over a sliding window, by least squares and without subtraction.

The window is a queue made of two stacks (see `two_stacks`). Of each part the sum of its values and the sum of
``distance * value`` are kept, the distance being that from the seam between the two: of the front, samples
are counted backwards from its newest, of the back forwards from its oldest, so that neither changes as
samples come and go. With p the position and n positions in a row, the slope is

    (Σ p y - mean(p) Σ y) / (n (n² - 1) / 12).

Both sums grow with the level of y and their difference does not, so values are measured from an ``anchor``, a
sample of the window: at each flip the newest.
"""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Slope(Tracker):
    """Least-squares slope, per sample, of the last ``window`` samples, the current one included.

    NaN until half of the window is there, and of fewer than 3 samples.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.warm = max(3, -(-window // 2))
        self.reset()

    def reset(self) -> None:
        self._samples: deque[float] = deque()  # all of the window but the current sample
        self._anchor = 0.0
        self._sums: list[float] = []  # of the front: of its newest sample, its newest two, ...
        self._moments: list[float] = []
        self._sum = self._moment = 0.0  # of the back

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        n = len(self._samples) + 1
        if n < self.warm:
            return NAN
        front = len(self._sums)
        back = n - 1 - front  # samples in the back, and the position of the current one
        y = x - self._anchor
        total, moment = self._sum + y, self._moment + back * y
        if front:
            total += self._sums[-1]
            moment -= self._moments[-1]
        return (moment - (back - front) * 0.5 * total) * 12 / (n * (n * n - 1))

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        samples, sums = self._samples, self._sums
        samples.append(x)
        n = len(samples)
        if n == self.window:
            samples.popleft()
            if sums:
                sums.pop()
                self._moments.pop()
            if not sums:
                self._flip(list(samples), x)
                return
            n -= 1
        elif n == 1:
            self._anchor = x
        y = x - self._anchor
        self._sum += y
        self._moment += (n - 1 - len(sums)) * y

    def _flip(self, samples: Sequence[float], anchor: float) -> None:
        """Make all ``samples`` the front."""
        self._anchor, self._sum, self._moment = anchor, 0.0, 0.0
        ys = [x - anchor for x in reversed(samples)]
        self._sums = list(accumulate(ys))
        self._moments = list(accumulate(map(mul, ys, range(1, len(ys) + 1))))

    def snapshot(self) -> Snapshot:
        return {
            "samples": list(self._samples),
            "front": len(self._sums),
            "anchor": self._anchor,
            "back": [self._sum, self._moment],
        }

    def restore(self, snapshot: Snapshot) -> None:
        self._samples = deque(snapshot["samples"])
        self._flip(snapshot["samples"][: snapshot["front"]], snapshot["anchor"])
        self._sum, self._moment = snapshot["back"]
