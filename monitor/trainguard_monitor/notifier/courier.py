"""One Alertmanager's courier: a thread that tells it what is to be told, and goes on trying."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from trainguard_monitor.notifier.alert import Alert
from trainguard_monitor.notifier.endpoint import Endpoint, PostError, Reason
from trainguard_monitor.notifier.outgoing import Outgoing, Telling, Timing
from trainguard_monitor.views.latency import Distribution

log = logging.getLogger(__name__)

CAPACITY = 4096
STOP_SECONDS = 2.0
SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, float("inf"))


class CourierView(NamedTuple):
    """Counts of alerts: taken by Alertmanager, in requests that failed, dropped from the queue, waiting in it."""

    alertmanager: str
    sent: int
    failed: dict[Reason, int]
    dropped: int
    queued: int
    capacity: int
    seconds: Distribution


class Courier:
    """Works from `start` to `stop`. The rest may be called from any thread, and waits for nothing."""

    def __init__(
        self, endpoint: Endpoint, link: Callable[[str], str], timing: Timing, capacity: int = CAPACITY
    ) -> None:
        """``link`` gives the address at which a run can be looked at."""
        self._endpoint, self._link = endpoint, link
        self._outgoing = Outgoing(timing, capacity, random.Random().random)
        self._changed = threading.Condition()
        self._stopping = False
        self._failing = False
        self._sent = 0
        self._failed: Counter[Reason] = Counter()
        self._seconds = Distribution(SECONDS)
        self._thread = threading.Thread(target=self._run, name="trainguard-notifier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, if that is possible now; what fires goes on firing for Alertmanager's resolve_timeout."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(STOP_SECONDS)

    def put(self, alert: Alert) -> None:
        with self._changed:
            self._outgoing.put(alert)
            self._changed.notify()

    def forget(self, run: str) -> None:
        with self._changed:
            self._outgoing.forget(run)

    def view(self) -> CourierView:
        with self._changed:
            outgoing = self._outgoing
            return CourierView(
                alertmanager=self._endpoint.name,
                sent=self._sent,
                failed=dict(self._failed),
                dropped=outgoing.dropped,
                queued=len(outgoing),
                capacity=outgoing.capacity,
                seconds=self._seconds.copy(),
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (wait := self._outgoing.wait(time.monotonic())) != 0:
                    self._changed.wait(wait)
                batch = self._outgoing.take(time.monotonic(), time.time())
            if batch:
                self._send(batch)
            if self._stopping and (self._failing or not batch):
                return

    def _send(self, batch: Sequence[Telling]) -> None:
        began, failure = time.monotonic(), None
        try:
            self._endpoint.post(
                msgspec.json.encode([t.alert.as_json(self._link(t.alert.run), t.ends_at) for t in batch])
            )
        except PostError as error:
            failure = error
        except Exception as error:  # as of an alert that can't be sent: without it, the others can
            log.exception("a defect of trainguard")
            failure = PostError("refused", f"it can't be sent: {type(error).__name__}")
        with self._changed:
            self._note(len(batch), time.monotonic() - began, failure)
        self._say(failure)

    def _note(self, count: int, seconds: float, failure: PostError | None) -> None:
        now = time.monotonic()
        self._seconds.add(seconds)
        if failure is None:
            self._sent += count
            self._outgoing.delivered(now, time.time())
        else:
            self._failed[failure.reason] += count
            (self._outgoing.refused if failure.reason == "refused" else self._outgoing.failed)(now)

    def _say(self, failure: PostError | None) -> None:
        name = self._endpoint.name
        if failure is not None and failure.reason == "refused":
            log.error("Alertmanager %s refuses an alert: %s", name, failure)
        elif failure is not None and not self._failing:
            log.warning("Alertmanager %s can't be told, will go on trying: %s", name, failure)
        elif failure is None and self._failing:
            log.warning("Alertmanager %s can be told again", name)
        self._failing = failure is not None and failure.reason != "refused"
