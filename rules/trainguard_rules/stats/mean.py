"""The mean of a sliding window, without subtraction.

A running sum that subtracts what leaves the window keeps the rounding error of every large value that ever
passed through it. Here the window is a queue made of two stacks: newcomers are added to the sum of the back,
and the front holds the suffix sums of the older samples, so that the oldest leaves by a pop. Only samples in
the window are ever added up. When the front runs empty the back becomes the front: O(1) amortized.
"""

from collections import deque
from itertools import accumulate

from trainguard_rules.stats.base import Reference, Snapshot


class Mean(Reference):
    """Arithmetic mean of the last ``window`` samples."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._front: list[float] = []
        self._back = 0.0

    def update(self, x: float) -> None:
        samples, n = self.samples, self.window
        if len(samples) < n:
            samples.append(x)
            self._back += x
            n = len(samples)
            if n >= self.warm:
                self.value = self._back / n
            return
        front = self._front
        if not front:
            front.extend(accumulate(reversed(samples)))
            self._back = 0.0
        front.pop()
        samples.popleft()
        samples.append(x)
        back = self._back = self._back + x
        self.value = ((front[-1] if front else 0.0) + back) / n

    def snapshot(self) -> Snapshot:
        return {"samples": list(self.samples), "front": len(self._front), "back": self._back, "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        self.reset()
        self.samples = deque(snapshot["samples"])
        older = list(self.samples)[: snapshot["front"]]
        self._front = list(accumulate(reversed(older)))
        self._back, self.held = snapshot["back"], snapshot["held"]
        if len(self.samples) >= self.warm:
            total = (self._front[-1] if self._front else 0.0) + self._back
            self.value = total / len(self.samples)
