"""One signal over a whole run, as a bounded number of points that a picture can be drawn from.

Every sample is a point as long as there is room. Then pairs of points stand for more and more samples: the least
and the greatest of them, in the order in which they came. A spike is never averaged away, however long the run,
and the least and the greatest of least and greatest are exact. Values that are not finite have no place on an
axis; they are kept apart, by step.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

KEPT = 8192  # points at least, once there were so many; twice as many at most


class Points(NamedTuple):
    """Steps, rising, and a finite value at each. ``per_point``: how many samples a point stands for, at most."""

    steps: list[int]
    values: list[float]
    per_point: int


def thin(steps: Sequence[int], values: Sequence[float], group: int) -> tuple[list[int], list[float]]:
    """Of every ``group`` of points the least and the greatest, in their order; ``group`` is 2 at least."""
    kept: list[int] = []
    for i in range(0, len(values), group):
        part = values[i : i + group]
        first, second = part.index(min(part)), part.index(max(part))
        if first > second:
            first, second = second, first
        elif first == second:  # all alike
            second = len(part) - 1
        kept.append(i + first)
        if second > first:
            kept.append(i + second)
    return [steps[i] for i in kept], [values[i] for i in kept]


class Column:
    """The samples of one signal, in the order of their steps."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._steps: MutableSequence[int] = array("q")
        self._values: MutableSequence[float] = array("d")
        self._group = 2  # so many samples are two points
        self._waiting: tuple[list[int], list[float]] = ([], [])
        self.nonfinite: list[tuple[int, str]] = []

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Take in samples, finite and later than all before."""
        if self._group > 2:
            self._waiting[0].extend(steps)
            self._waiting[1].extend(values)
            steps, values = self._complete_groups()
        self._steps.extend(steps)
        self._values.extend(values)
        while len(self._steps) >= 2 * self._kept:
            self._group *= 2
            self._hold(*thin(self._steps, self._values, 4))

    def note_nonfinite(self, step: int, value: str) -> None:
        """A sample that was ``NaN``, ``Infinity`` or ``-Infinity``. Of too many, every other one is forgotten."""
        self.nonfinite.append((step, value))
        if len(self.nonfinite) > self._kept // 2:
            del self.nonfinite[1::2]

    def cut(self, step: int) -> None:
        """Forget ``step`` and everything later: the run goes on from before it."""
        steps, values = [*self._steps, *self._waiting[0]], [*self._values, *self._waiting[1]]
        end = bisect_left(steps, step)
        self._waiting = ([], [])
        self._hold(steps[:end], values[:end])
        self.nonfinite = [pair for pair in self.nonfinite if pair[0] < step]

    def points(self, first: int, last: int, most: int) -> Points:
        """What lies in ``first`` to ``last``, both included, in no more than ``most`` points."""
        a, b = bisect_left(self._steps, first), bisect_right(self._steps, last)
        steps, values = list(self._steps[a:b]), list(self._values[a:b])
        rest = range(bisect_left(self._waiting[0], first), bisect_right(self._waiting[0], last))
        steps += [self._waiting[0][i] for i in rest]
        values += [self._waiting[1][i] for i in rest]
        per_point = self._group // 2
        if len(steps) > most:
            group = 2 * -(-len(steps) // most)
            steps, values = thin(steps, values, group)
            per_point *= group // 2
        return Points(steps, values, per_point)

    def _complete_groups(self) -> tuple[list[int], list[float]]:
        steps, values = self._waiting
        whole = len(steps) // self._group * self._group
        self._waiting = steps[whole:], values[whole:]
        return thin(steps[:whole], values[:whole], self._group)

    def _hold(self, steps: list[int], values: list[float]) -> None:
        self._steps, self._values = array("q", steps), array("d", values)
