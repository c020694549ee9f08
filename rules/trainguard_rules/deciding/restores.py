"""The bar that keeps rollbacks from going round in circles.

Each restore doubles the distance to the next, in steps; a new good checkpoint further on than any before halves
it again. So between two such checkpoints a stretch of N steps sees at most log2(N / settle) + 2 restores,
whatever the rule file says, and every circle has to leave new ground behind: no rule file can loop for ever.
(dlib's trainer raises its threshold with each reload in the same spirit.)
"""

HIGHEST = 40


class RestoreBar:
    """How far the next restore is away. ``height`` counts the restores that no new ground has been gained for."""

    def __init__(self) -> None:
        self.height = 0
        self._last = 0
        self._furthest = -1

    def open_from(self, settle: int) -> int:
        """The first step at which the next restore is allowed; ``settle`` is the distance after the first one."""
        return 0 if self.height == 0 else self._last + max(1, settle) * 2 ** (self.height - 1)

    def restored(self, step: int) -> None:
        self._last = step
        self.height = min(HIGHEST, self.height + 1)

    def promoted(self, checkpoint: int) -> None:
        """A good checkpoint; only one that is further on than any before counts as progress."""
        if checkpoint > self._furthest:
            self._furthest = checkpoint
            self.height = max(0, self.height - 1)
