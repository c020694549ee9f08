"""An axis: where a value lies in a picture, and which values are marked."""

from dataclasses import dataclass
from math import ceil, floor, log10

WIDE = 10  # how many times the median the greatest value is, where a logarithm shows more
MOST_TICKS = 7
LARGEST = 1e300  # beyond, there would be no room for room


@dataclass(frozen=True)
class Axis:
    """From ``low`` at ``begin`` to ``high`` at ``end``, in the picture's own units; ``log``: by their logarithms."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies; one beyond the ends, at the end."""
        low, high, value = self.low, self.high, max(value, self.low)
        if self.log:
            low, high, value = log10(low), log10(high), log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values between the ends, `MOST_TICKS` of them at most."""
        return _decades(self.low, self.high) if self.log else _round(self.low, self.high)


def vertical(values: list[float], top: float, bottom: float) -> Axis:
    """An axis for these values, which are finite: with some room, and by logarithms where they are far apart."""
    low, high = max(min(values), -LARGEST), min(max(values), LARGEST)
    middle = sorted(values)[len(values) // 2]
    if low > 0 and high > WIDE * middle:
        return Axis(low / 1.2, high * 1.2, bottom, top, log=True)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Axis(low - room if low < 0 or low - room > 0 else 0.0, high + room, bottom, top)


def _round(low: float, high: float) -> list[float]:
    rough = (high - low) / (MOST_TICKS - 2)
    if not rough > 0:
        return [low]
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = ceil(low / step)
    return [number * step for number in range(first, floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = ceil(log10(low)), floor(log10(high))
    if last <= first:
        return [value for value in _round(low, high) if value > 0]
    every = ceil((last - first + 1) / MOST_TICKS)
    return [10.0**power for power in range(first, last + 1, every)]
