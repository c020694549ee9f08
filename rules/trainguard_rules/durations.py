"""Training time: moments, durations and limits, in steps, epochs or seconds.

Steps are the natural unit of a guard, seconds are Prometheus's; a moment has all three. Time only ever
comes from messages.
"""

import re
from typing import Literal, NamedTuple

Unit = Literal["steps", "epochs", "seconds"]

_COUNTED = re.compile(r"(\d+)\s*(step|epoch)s?")
_CLOCK = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (86400, 3600, 60, 1)
MOST = 10**9  # of any unit: more than any training takes, and few enough to be reckoned with
LONGEST = 60  # characters
_LIMIT = re.compile(r"(\d+)(?:\s+per\s+(.+))?")


class Moment(NamedTuple):
    """Where the run is: optimizer step, epoch (None where the loop does not say), Unix seconds."""

    step: int
    epoch: int | None
    time: float

    @property
    def clock(self) -> tuple[int, float, float]:
        """Step, epoch and time as a program takes them: NaN for an epoch that is not known."""
        return self.step, float("nan") if self.epoch is None else self.epoch, self.time


class Duration(NamedTuple):
    """So many steps, epochs or seconds."""

    amount: int
    unit: Unit

    def __str__(self) -> str:
        if self.unit == "seconds":
            return f"{self.amount}s"
        return f"{self.amount} {self.unit[:-1]}{'' if self.amount == 1 else 's'}"

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """``5 steps``, ``2 epochs`` or Prometheus's ``30s``, ``5m``, ``1h30m``. Raises ValueError."""
        text = _short(text)
        if counted := _COUNTED.fullmatch(text.strip()):
            return cls(_bounded(text, int(counted[1])), "epochs" if counted[2] == "epoch" else "steps")
        clock = _CLOCK.fullmatch(text.strip())
        if clock and any(clock.groups()):
            parts = zip(clock.groups("0"), _SECONDS, strict=True)
            return cls(_bounded(text, sum(int(n) * s for n, s in parts)), "seconds")
        raise ValueError(f"{text!r} is not a duration: write '5 steps', '2 epochs' or '30s'")

    def passed(self, since: Moment, now: Moment) -> bool:
        """Whether this much has gone by. An unknown epoch never passes."""
        return elapsed(since, now, self.unit) >= self.amount


def _short(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"{text[:LONGEST] + '...'!r} is too long for a duration or a limit")
    return text


def _bounded(text: str, amount: int) -> int:
    if amount > MOST:
        raise ValueError(f"{text!r} is too much: {MOST} at most")
    return amount


def elapsed(since: Moment, now: Moment, unit: Unit) -> float:
    """From one moment to a later one; NaN in epochs where either moment has none."""
    if unit == "steps":
        return now.step - since.step
    if unit == "seconds":
        return now.time - since.time
    if since.epoch is None or now.epoch is None:
        return float("nan")
    return now.epoch - since.epoch


class Limit(NamedTuple):
    """So many ``times`` ``per`` duration, or in all of a trainer process where ``per`` is None."""

    times: int
    per: Duration | None = None

    def __str__(self) -> str:
        return f"{self.times} per {self.per}" if self.per else f"{self.times} in all"

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """``4 per 1000 steps``, ``2 per 1h`` or ``3``. Raises ValueError."""
        match = _LIMIT.fullmatch(_short(text).strip())
        if not match or int(match[1]) < 1:
            raise ValueError(f"{text!r} is not a limit: write '4 per 1000 steps', or '3' for all of a trainer process")
        return cls(_bounded(text, int(match[1])), Duration.parse(match[2]) if match[2] else None)
