"""When to look at a run again.

The file that a trainer appends to is polled, never watched: a watch makes each of the trainer's writes several times
dearer, a poll costs it nothing. It costs the monitor some 50 microseconds, nearly all of them for waking up, so polls
should come when there is something to be found. Each run has its `rhythm`. Looks begin a moment after the earliest time
at which the next sample is to be expected, so that a regular trainer is looked at once a step, just after it wrote.
They go on a moment apart until the sample should be there, and then, the later it is, the less often. A moment is a
millisecond; where steps are so irregular that this would come to too many looks, it is as long as makes that many.

Before the expected time, and while a rhythm is not known yet, looks come at least so often that nothing unexpected
waits long. A run that is over, or silent for long, is looked at rarely, and of many such each more rarely, so that all
of them together cost no more. A trainer that waits for each verdict is looked at every millisecond.

`python -m benchmarks.reaction` measures what comes of it, in time and in processor time.
"""

from collections.abc import Sequence
from typing import Literal

from trainguard_monitor.following.rhythm import Rhythm
from trainguard_wire import Sample, Telemetry

SOON = 0.001
IDLE = 0.05
RESTING = 0.2
SILENT_AFTER = 60.0
RETRY = 3.0
EXPECTANT_LOOKS = 200.0  # a second, at a run whose steps are irregular
FEWEST_LOOKS = 4.0  # in the time in which its sample may come
IDLE_LOOKS = 200.0  # a second, at all idle runs together
MOST_STAMPS = 32

# Its past is still being read; it is over; the trainer waits for us; something is going on, and no look is too many
# while a sample is expected; or nothing of that.
Pace = Literal["behind", "ended", "lockstep", "busy", "calm"]


class Cadence:
    """The next look at one run, in seconds of the clock whose readings it is given."""

    def __init__(self, now: float, ahead: float = 0.0) -> None:
        """``ahead``: as `Rhythm` has it."""
        self.due = now
        self._rhythm = Rhythm(ahead)
        self._looked = now
        self._last_data = now

    def looked(self, now: float, came: Sequence[Telemetry], pace: Pace = "calm", company: int = 1) -> None:
        """Plan the next look after one at ``now`` that brought these records. ``company``: how many runs there are."""
        before, self._looked = self._looked, now
        if came:
            self._last_data = now
            self._rhythm.heard(_stamps(came), before, now)
        quiet = now - self._last_data
        if pace == "behind":
            self.due = now
        elif pace == "ended" or quiet > SILENT_AFTER:
            self.due = now + min(quiet + SOON, max(RESTING, company / IDLE_LOOKS))
        elif pace == "lockstep":
            self.due = now + SOON
        else:
            self.due = self._next(now, pace == "busy", max(IDLE, company / IDLE_LOOKS))

    def postpone(self, now: float) -> None:
        """Try again in a while: the run could not be looked at."""
        self.due = now + RETRY

    def never(self) -> None:
        self.due = float("inf")

    @property
    def is_given_up(self) -> bool:
        """Whether no look is planned."""
        return self.due == float("inf")

    def _next(self, now: float, busy: bool, longest: float) -> float:
        rhythm = self._rhythm
        if rhythm.start is None or rhythm.end is None:
            return now + min(max(SOON, now - self._last_data), longest)
        moment = SOON
        if not busy:
            looks = max(FEWEST_LOOKS, EXPECTANT_LOOKS * rhythm.gap)
            moment = max(SOON, (rhythm.end - rhythm.start) / looks)
        if now < rhythm.start + moment:
            return min(rhythm.start + moment, now + longest)
        return now + min(max(moment, (now - rhythm.end) / 4), longest)


def _stamps(came: Sequence[Telemetry]) -> list[float]:
    """When the samples were measured, one for each step."""
    by_step = {record.step: record.time for record in came[-MOST_STAMPS:] if isinstance(record, Sample)}
    return list(by_step.values())
