"""A sliding window as two stacks, so that nothing has to be subtracted.

A running sum that subtracts what leaves the window keeps the rounding error of every large value that ever
passed through it. So newcomers are added up in the *back*, and for the older samples, the *front*, there is a
list made beforehand: at each place, what the samples behind it come to. Only samples in the window are ever
added up. With the last sample of the front gone, the back becomes the front.

The samples lie in a ring. The oldest is at ``place``, and the newcomer takes its place, so that one number
tells how far the front is used up, and nothing has to be moved. The turn of the ring costs O(window), so a
sample O(1) on average.
"""

from abc import abstractmethod

from trainguard_rules.stats.base import Reference, Snapshot


class TwoStacks(Reference):
    """What windows without subtraction have in common.

    `update` is for a window that is full and will have something left in its front. The rest, at the ``last``
    place, it leaves to `turn`; while the window fills up, that is where ``place`` stands.
    """

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.samples: list[float] = []
        self.place = self.last = window - 1

    @abstractmethod
    def grow(self, x: float) -> None:
        """Learn ``x``, the newest of ``samples``, while the window fills up: all are back."""

    @abstractmethod
    def flip(self) -> None:
        """Make all ``samples`` the front, the last of them being the newest, and read the statistic from it."""

    def turn(self, x: float) -> None:
        """Learn a sample at the last place."""
        samples = self.samples
        if len(samples) == self.window:
            samples[-1] = x
        else:
            samples.append(x)
        if len(samples) == self.window:
            self.flip()
            self.place = 0
        else:
            self.grow(x)

    def snapshot(self) -> Snapshot:
        return {"samples": list(self.samples), "place": self.place, "held": self.held}

    def restore(self, snapshot: Snapshot) -> None:
        """All but the back, and what is read from it."""
        self.reset()
        self.samples, self.held = list(snapshot["samples"]), snapshot["held"]
        if len(self.samples) == self.window:
            self.flip()
        self.place = snapshot["place"]
