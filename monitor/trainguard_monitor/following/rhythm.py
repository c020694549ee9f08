"""The rhythm in which a trainer writes: when its next sample is to be expected.

A training step takes about as long as the last ones took. How long that was is known exactly, from the times that the
samples carry. What has to be found out is how far the clock of these times is behind the reader's: not at all on one
machine, but on a shared file system two clocks differ, and values on an accelerator are written a step after they were
measured. Each look that finds a sample says something about that: it had not been there at the look before, and it is
there now.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

REMEMBERED = 16
FEWEST = 4
LEAN = 0.003


class Rhythm:
    """Of one trainer. Times are readings of the reader's clock, but for stamps, which are the trainer's.

    The next sample is expected from ``start`` until ``end``; both are None while the rhythm is not known. Some steps
    are shorter or longer than that. ``gap`` is how long a step takes, more or less.
    """

    def __init__(self, ahead: float) -> None:
        """``ahead`` is how far the reader's clock is ahead of the wall clock of its machine, or what to begin with."""
        self.start: float | None = None
        self.end: float | None = None
        self.gap = 0.0
        self._ahead = ahead
        self._stamp: float | None = None
        self._before: float | None = None
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)

    def heard(self, stamps: Sequence[float], before: float, now: float) -> None:
        """Samples with these stamps, one a step, were not there ``before`` and are there ``now``."""
        if not stamps:
            return
        if self._stamp is not None and self._before is not None:
            longest = (now - self._before) / len(stamps)  # whatever the stamps say
            later = [b - a for a, b in pairwise((self._stamp, *stamps))]
            self._gaps.extend(min(gap, longest) for gap in later if gap > 0)
        self._stamp, self._before = stamps[-1], before
        self._ahead = min(max(self._ahead - LEAN * self.gap, before - self._stamp), now - self._stamp)
        if len(self._gaps) >= FEWEST:
            gaps = sorted(self._gaps)
            written = self._stamp + self._ahead
            self.start, self.end = written + gaps[1], written + gaps[3 * len(gaps) // 4 - 1]
            self.gap = gaps[len(gaps) // 2]
