"""What the guard takes of the training's time, timed in place around its own code.

Comparing whole loops resolves a few percent; a clock around a few microseconds of code resolves those. Not counted are
checkpoints and actions that are carried out, which have records of their own, waiting in lockstep, the meeting with
other ranks, most of which is waiting, and clipping, which the loop would do without a guard, at a higher price.
"""

from collections import deque

SPAN = 1000
_DECAY = 1.0 - 1.0 / SPAN


class Cost:
    """The seconds that one thing takes each time it is done."""

    __slots__ = ("_means", "times", "total")

    def __init__(self) -> None:
        self.total, self.times = 0.0, 0
        self._means: deque[float] = deque(maxlen=3)

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.times += 1

    def learn(self, mean: float) -> None:
        self._means.append(mean)

    def settle(self) -> None:
        """Learn the mean of what was added, and begin anew."""
        if self.times:
            self.learn(self.total / self.times)
        self.total, self.times = 0.0, 0

    @property
    def seconds(self) -> float:
        """The median of the last three means, the lower of two: first times take longer. 0 before there is one."""
        means = sorted(self._means)
        return means[(len(means) - 1) // 2] if means else 0.0


class Overhead:
    """Counts steps. ``step`` is the cost of a whole one, training included; ``publishing`` that of one sample, from
    the readout to the file; ``polling`` that of reading control once; ``idling`` what the guard takes of a step
    beside those and its sensors.
    """

    def __init__(self) -> None:
        self.step, self.publishing, self.polling, self.idling = Cost(), Cost(), Cost(), Cost()
        self._own = 0.0
        self._lately_own = self._lately = 0.0

    @property
    def ratio(self) -> float | None:
        """Share of the time that the guard took, with the last thousand steps weighing most; None at first."""
        return self._lately_own / self._lately if self._lately else None

    def add(self, own: float, seconds: float) -> None:
        """One more step, which took ``seconds``, the guard ``own`` of them."""
        self.step.total += seconds
        self.step.times += 1
        self._own += own
        self._lately_own = _DECAY * self._lately_own + own
        self._lately = _DECAY * self._lately + seconds

    def settle(self, measuring: float) -> None:
        """Learn from the steps since the last call, in which sensors took ``measuring`` seconds."""
        if self.step.times:
            idling = self._own - measuring - self.publishing.total - self.polling.total
            self.idling.learn(max(0.0, idling) / self.step.times)
        for cost in (self.step, self.publishing, self.polling):
            cost.settle()
        self._own = 0.0
