"""Where in a row the value of a name lies, and how the values of all ranks become one.

How, is said by `SIGNALS`: ``mean``, ``sum`` or ``max`` over the ranks that have a value, or ``same``, the first one's,
where all have the same. Of what stands not in there, the mean; of knobs, the same. In any case a value that is not
finite on one rank leaves none that is: NaN where there is one, or infinities of both signs.
"""

from collections.abc import Iterable, Mapping
from math import isfinite

import numpy as np

from trainguard.ranks.ranks import ABSENT, no_cargo
from trainguard.ranks.rounds import SLOTS, Row
from trainguard_wire.signals import SIGNALS, Reduction


class Slots:
    """Names and their slots. Where all slots are taken, names stay without: of their values, this rank's own counts."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._left_over: set[str] = set()
        self._kinds: list[Reduction] = []

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            if not self.knows(name):
                if len(self._slots) < SLOTS:
                    self._slots[name] = len(self._slots)
                else:
                    self._left_over.add(name)
        self._kinds = [reduction_of(name) for name in self._slots]

    def knows(self, name: str) -> bool:
        return name in self._slots or name in self._left_over

    def cargo(self, values: Mapping[str, float]) -> Row:
        """The values of one rank as a row."""
        row = no_cargo()
        for name, value in values.items():
            if name in self._slots:
                row[self._slots[name]] = value
        return row

    def reduce(self, rows: Row, own: Mapping[str, float]) -> dict[str, float]:
        """The values of all ranks, given the rows of all and the values of this one."""
        rows = rows[:, : len(self._slots)]
        present = rows.view(np.int64) != ABSENT
        counts = present.sum(0).tolist()
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.where(present, rows, 0.0).sum(0).tolist()
        highest = np.where(present, rows, -np.inf).max(0).tolist()
        values = {}
        for (name, slot), kind, count in zip(self._slots.items(), self._kinds, counts, strict=True):
            if not count:
                continue
            if kind == "sum" or not isfinite(sums[slot]):
                values[name] = sums[slot]
            elif kind == "mean":
                values[name] = sums[slot] / count
            elif kind == "max":
                values[name] = highest[slot]
            else:
                values[name] = float(rows[present[:, slot].argmax(), slot])
        if self._left_over:
            values |= {name: value for name, value in own.items() if name in self._left_over}
        return values


def reduction_of(name: str) -> Reduction:
    """How the values of a signal become one."""
    if name in SIGNALS:
        return SIGNALS[name].over_ranks
    return "same" if name.startswith("knob_") else "mean"
