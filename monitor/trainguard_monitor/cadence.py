"""When to look at a run again: adaptive polling.

The file a trainer appends to is polled, never watched: a watch makes each of the trainer's writes several
times dearer, a poll costs it nothing. A look comes soon after data or while the engine is busy, and less and
less often while nothing comes. Of many idle runs each is looked at less often, so that all together cost no more.
"""

SOON = 0.001
IDLE = 0.05
RESTING = 0.2
SILENT_AFTER = 60.0
RETRY = 3.0
MOST_IDLE_LOOKS = 4000  # in a second, at all runs together


class Cadence:
    """The next look at one run, in seconds of the clock whose readings it is given."""

    def __init__(self, now: float) -> None:
        self.due = now
        self._interval = SOON
        self._last_data = now

    def looked(self, now: float, *, progressed: bool, busy: bool, ended: bool, company: int = 1) -> None:
        """Plan the next look after one that brought something (``progressed``) or nothing.

        A run that is over, or silent for long, is looked at rarely, however busy the engine says it is. ``company`` is
        how many runs there are.
        """
        if progressed:
            self._last_data = now
        resting = ended or now - self._last_data > SILENT_AFTER
        if progressed or (busy and not resting):
            self._interval = SOON
        else:
            longest = max(RESTING if resting else IDLE, company / MOST_IDLE_LOOKS)
            self._interval = min(2 * self._interval, longest)
        self.due = now + self._interval

    def postpone(self, now: float) -> None:
        """Try again in a while: the run could not be looked at."""
        self.due = now + RETRY

    def never(self) -> None:
        self.due = float("inf")
