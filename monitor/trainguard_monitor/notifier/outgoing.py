"""What one Alertmanager still has to be told, and when.

An alert is told when it begins, again from time to time while it fires (Alertmanager takes what it does not hear of for
its ``resolve_timeout`` to be over, and forgets everything when it is restarted), and when it is over. Of an alert only
the newest word waits. The queue is bounded: what waited longest is dropped, and counted. After a failure everything
waits, twice as long each time, and not all monitors equally long.

An incident may be over before Alertmanager's ``group_wait`` is: a person would never hear of it. So an alert's end is
not said to be earlier than a while after it was first told.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from trainguard_monitor.notifier.alert import Alert, Key

MOST_IN_A_REQUEST = 64


@dataclass(frozen=True)
class Timing:
    """In seconds. ``hold``: an alert lasts at least so long after it was first told."""

    resend: float = 60.0
    hold: float = 60.0
    first_retry: float = 0.25
    last_retry: float = 30.0


class Telling(NamedTuple):
    """An alert, and its end as Alertmanager is to know it, in Unix seconds of this machine; None while it fires."""

    alert: Alert
    ends_at: float | None


class _Standing(NamedTuple):
    """An alert that Alertmanager knows to fire, and when it was first told, in Unix seconds."""

    alert: Alert
    told_at: float


class Outgoing:
    """`take` a batch, then say what became of it: `delivered`, `failed` or `refused`. Not for two threads.

    ``dropped`` counts what there was no room for. ``now`` is a reading of a steady clock.
    """

    def __init__(self, timing: Timing, capacity: int, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1."""
        self.capacity = capacity
        self.dropped = 0
        self._timing, self._jitter = timing, jitter
        self._queue: OrderedDict[Key, Alert] = OrderedDict()
        self._out: dict[Key, Alert] = {}
        self._standing: dict[Key, _Standing] = {}
        self._resend_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._most = MOST_IN_A_REQUEST

    def __len__(self) -> int:
        """How many wait, those under way included."""
        return len(self._queue) + len(self._out)

    def put(self, alert: Alert) -> None:
        """News of an alert."""
        self._queue.pop(alert.key, None)
        self._queue[alert.key] = alert
        while len(self._queue) > self.capacity:
            self._queue.popitem(last=False)
            self.dropped += 1

    def forget(self, run: str) -> None:
        """Say no more of this run's alerts."""
        for alerts in (self._queue, self._out, self._standing):
            for key in [key for key in alerts if key[0] == run]:
                del alerts[key]

    def wait(self, now: float) -> float | None:
        """How long there is nothing to do, in seconds; None until something is `put`."""
        due = [self._not_before] if self._queue else [self._resend_at] if self._standing else []
        return max(0.0, due[0] - now) if due else None

    def take(self, now: float, wall: float) -> list[Telling]:
        """The next batch. ``wall`` is the present in Unix seconds."""
        if self._standing and now >= self._resend_at:
            self._resend_at = now + self._timing.resend
            for key, (alert, _) in self._standing.items():
                if key not in self._queue:
                    self.put(alert)
        if now < self._not_before:
            return []
        while self._queue and len(self._out) < self._most:
            key, alert = self._queue.popitem(last=False)
            self._out[key] = alert
        return [Telling(alert, self._end_of(alert, wall)) for alert in self._out.values()]

    def delivered(self, now: float, wall: float) -> None:
        """Alertmanager has the batch."""
        if not self._standing:
            self._resend_at = now + self._timing.resend
        for key, alert in self._out.items():
            if alert.over is None:
                self._standing[key] = _Standing(alert, self._told_at(alert, wall))
            else:
                self._standing.pop(key, None)
        self._out.clear()
        self._failures, self._not_before = 0, now
        if not self._queue:
            self._most = MOST_IN_A_REQUEST

    def failed(self, now: float) -> None:
        """The batch did not get through: it is first in the queue again, where there is no newer word of an alert."""
        for key, alert in reversed(self._out.items()):
            if key not in self._queue:
                self._queue[key] = alert
                self._queue.move_to_end(key, last=False)
        self._out.clear()
        delay = min(self._timing.last_retry, self._timing.first_retry * 2.0**self._failures)
        self._failures = min(self._failures + 1, 32)
        self._not_before = now + delay * (0.5 + 0.5 * self._jitter())

    def refused(self, now: float) -> None:
        """Alertmanager does not want the batch as it is. What is wrong with one alert must not cost the others."""
        if len(self._out) > 1:
            self.failed(now)
            self._most = 1
        else:
            self._out.clear()

    def _told_at(self, alert: Alert, wall: float) -> float:
        standing = self._standing.get(alert.key)
        return wall if standing is None else standing.told_at

    def _end_of(self, alert: Alert, wall: float) -> float | None:
        if alert.over is None:
            return None
        return max(alert.over, alert.since + 0.001, self._told_at(alert, wall) + self._timing.hold)
