"""The budget: how often each signal is measured, so that the guard takes no more than its share of a step.

From what things cost (`Overhead`, `Duty`) follows what the wanted cadences would take. Where that is too much,
cadences are stretched, in three classes one after the other: what most rules look at first, then what is wanted often,
then the rest. A class is stretched by one factor until it fits into half of what is left, or into more where those
after it need less. All cadences are multiples of that of the first class, so that no sample is written for their sake.
That one has a limit, `AT_LEAST`: a guard that saves its time by looking away is none, whatever the budget.

Rules lose nothing but resolution: their durations count steps by number, not samples.
"""

from collections.abc import Callable, Sequence
from math import ceil

from trainguard.measuring.meter import Duty, Meter
from trainguard.measuring.overhead import Overhead

FIRST = frozenset({"loss", "grad_norm", "lr", "gated", "step_seconds"})
OFTEN = 10
AT_LEAST = 100
LONGEST = 10_000
WINDOW = 64
MARGIN = 0.9


class Budget:
    """Has the meter take at most ``share`` of the steps' time. Looks again after 8, 16, 32 and each 64 steps."""

    def __init__(
        self, share: float, meter: Meter, overhead: Overhead, rearrange: Callable[[Sequence[int]], object]
    ) -> None:
        """``rearrange``: give the meter's duties these cadences."""
        self._share, self._meter, self._overhead, self._rearrange = share, meter, overhead, rearrange
        self._window = 8

    def look(self) -> None:
        """After each step."""
        overhead = self._overhead
        if overhead.step.times < self._window:
            return
        self._window = min(2 * self._window, WINDOW)
        overhead.settle(self._meter.settle())
        available = MARGIN * self._share * overhead.step.seconds - overhead.idling.seconds
        cadences = allot(self._meter.duties, available, overhead.publishing.seconds + overhead.polling.seconds)
        if any(not 0.75 < every / duty.every < 1.1 for duty, every in zip(self._meter.duties, cadences, strict=True)):
            self._rearrange(cadences)


def allot(duties: Sequence[Duty], available: float, per_sample: float) -> list[int]:
    """The cadence of each duty, so that all take ``available`` seconds a step, a sample ``per_sample`` more."""
    classes = [[d for d in duties if _class_of(d) == number] for number in range(3)]
    classes = [each for each in classes if each]
    needs = [sum(duty.cost.seconds / duty.wanted for duty in each) for each in classes]
    if not classes:
        return []
    needs[0] += per_sample / min(duty.wanted for duty in duties)
    if sum(needs) <= available:
        return [duty.wanted for duty in duties]
    every: dict[Duty, int] = {}
    base = 1
    for number, members in enumerate(classes):
        later = sum(needs[number + 1 :])
        allowed = max(available / 2, available - later)
        factor = 1.0 if needs[number] <= allowed else needs[number] / allowed if allowed > 0 else LONGEST
        for duty in members:
            is_first = _class_of(duty) == 0
            every[duty] = _multiple(duty.wanted * factor, base, max(AT_LEAST, duty.wanted) if is_first else LONGEST)
        if number == 0:
            base = min(every.values())
            every = {duty: _multiple(each, base, LONGEST) for duty, each in every.items()}
        available -= needs[number] / factor
    return [every[duty] for duty in duties]


def _class_of(duty: Duty) -> int:
    return 0 if duty.names & FIRST else 1 if duty.wanted <= OFTEN else 2


def _multiple(every: float, base: int, longest: int) -> int:
    """The smallest multiple of ``base`` that is at least ``every``, or the largest up to ``longest``."""
    return base * max(1, min(ceil(every / base - 1e-9), longest // base))
