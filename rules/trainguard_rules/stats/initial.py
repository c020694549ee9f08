"""A value as it was early in the run."""

from trainguard_rules.stats.base import NAN, Snapshot, Tracker


class Initial(Tracker):
    """What x was on the first sample after ``after`` of them, and stays; NaN until then.

    Samples that are not finite count too, but the value kept is the first finite one.
    """

    takes_nonfinite = True

    def __init__(self, after: int) -> None:
        self.after = after
        self._n = 0  # samples so far, counted up to `after`
        self._value = NAN

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        value = self._value
        if value == value:
            return value
        return x if self._n >= self.after and x - x == 0.0 else NAN

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        if self._n < self.after:
            self._n += 1
        elif self._value != self._value and x - x == 0.0:
            self._value = x

    def snapshot(self) -> Snapshot:
        return {"n": self._n} if self._value != self._value else {"n": self._n, "value": self._value}

    def restore(self, snapshot: Snapshot) -> None:
        self._n, self._value = snapshot["n"], snapshot.get("value", NAN)

    def reset(self) -> None:
        self._n, self._value = 0, NAN
