"""Sends notifications to webhooks, beside the daemon's loop, which waits for none of them.

Each webhook has a thread and a bounded queue of its own, so that one that hangs holds up no other. A post that fails is
tried again, at growing distances, and given up after `ATTEMPTS`; where the queue is full, the oldest is given up. What
became of each goes back to the run as an input of its fold. What is not answered when the monitor ends is sent by the
next one, which may be a second time: an id tells. What is older than `OLDEST_SECONDS` by then is news no more.

A run that could not be followed for a moment is taken up anew, and hands over what it has no answer to, while the
letter may be on its way, or its answer came when nobody could take it. So what is under way is known here, and the
newest answers are kept, to be given again.
"""

import json
import logging
import threading
import time
import urllib.request
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.error import HTTPError

from trainguard_monitor.webhooks.payload import payload
from trainguard_rules.deciding.notifications import Notification
from trainguard_wire import Delivered
from trainguard_wire.telemetry import AckStatus

log = logging.getLogger(__name__)

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 1.0  # doubled with each attempt: half a minute in all
MOST_WAITING = 100
MOST_ANSWERS = 1000
OLDEST_SECONDS = 3600.0
TIMEOUT_SECONDS = 10.0

Answer = Callable[[str, Delivered], object]
Post = Callable[[str, bytes], None]


class _Letter(NamedTuple):
    run: str
    notification: Notification

    @property
    def key(self) -> tuple[str, str, float]:
        """Another run of the same name may come to the same id, at another time."""
        return self.run, self.notification.id, self.notification.time


class Webhooks:
    """`send` from one thread; ``answer`` is called from any, with the run and what became of a notification."""

    def __init__(
        self,
        webhooks: Mapping[str, str],
        answer: Answer,
        *,
        clock: Callable[[], float] = time.time,
        post: Post | None = None,
        pause: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._answer, self._clock = answer, clock
        self._lock = threading.Lock()
        self._under_way = set[tuple[str, str, float]]()
        self._answers: OrderedDict[tuple[str, str, float], Delivered] = OrderedDict()
        self._carriers = {name: _Carrier(url, self._settle, post or post_json, pause) for name, url in webhooks.items()}

    def send(self, run: str, notification: Notification) -> None:
        """Take a notification on; of one that was sent already, say again what became of it. Returns at once."""
        letter = _Letter(run, notification)
        with self._lock:
            answer = self._answers.get(letter.key)
            is_new = answer is None and letter.key not in self._under_way
            if is_new:
                self._under_way.add(letter.key)
        if answer is not None:
            self._answer(run, answer)
        elif is_new:
            self._take(letter)

    def _take(self, letter: _Letter) -> None:
        notification = letter.notification
        carrier = self._carriers.get(notification.to)
        age = self._clock() - notification.time
        if carrier is None:
            there_are = ", ".join(self._carriers) or "none"
            self._settle(letter, "refused", f"this monitor has no webhook {notification.to!r} (it has {there_are})")
        elif age > OLDEST_SECONDS:
            self._settle(letter, "expired", f"it was decided {age:.0f} s before it could be sent")
        else:
            carrier.take(letter)

    def close(self, seconds: float) -> None:
        """Try what is waiting once more, so long at most, and end."""
        deadline = time.monotonic() + seconds
        for carrier in self._carriers.values():
            carrier.end()
        for carrier in self._carriers.values():
            carrier.join(max(0.0, deadline - time.monotonic()))

    def _settle(self, letter: _Letter, status: AckStatus, reason: str = "") -> None:
        if status != "applied":
            log.warning("%s: notification not sent: %s", letter.run, reason, extra={"run": letter.run})
        answer = Delivered(action=letter.notification.id, status=status, reason=reason)
        with self._lock:
            self._under_way.discard(letter.key)
            self._answers[letter.key] = answer
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        self._answer(letter.run, answer)


class _Carrier:
    """To one webhook, in order. The thread begins with the first letter."""

    def __init__(self, url: str, settle: Callable[[_Letter, AckStatus, str], None], post: Post, pause: float) -> None:
        self._url, self._settle, self._post, self._pause = url, settle, post, pause
        self._waiting: deque[_Letter] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None

    def take(self, letter: _Letter) -> None:
        with self._changed:
            self._waiting.append(letter)
            dropped = self._waiting.popleft() if len(self._waiting) > MOST_WAITING else None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="trainguard-webhook", daemon=True)
                self._thread.start()
            self._changed.notify()
        if dropped is not None:
            self._settle(dropped, "failed", f"more than {MOST_WAITING} were waiting for this webhook")

    def end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while (letter := self._next()) is not None:
            error = self._carry(letter)
            if error is None:
                self._settle(letter, "applied", "")
            elif not self._ending:  # or the next monitor tries
                self._settle(letter, "failed", f"given up after {ATTEMPTS} attempts: {error}")

    def _next(self) -> _Letter | None:
        """The next in line; None once there is none and there will be none."""
        with self._changed:
            while not self._waiting and not self._ending:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _carry(self, letter: _Letter) -> str | None:
        """What went wrong the last time, or None."""
        body = json.dumps(payload(letter.run, letter.notification)).encode()
        for attempt in range(ATTEMPTS):
            try:
                self._post(self._url, body)
            except Exception as error:
                problem = _in_words(error)
            else:
                return None
            if attempt == ATTEMPTS - 1 or self._rests(self._pause * 2**attempt):
                break
        return problem

    def _rests(self, seconds: float) -> bool:
        """Whether the monitor is ending, meanwhile or already."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ending, seconds)


def post_json(url: str, body: bytes) -> None:
    """Raises `OSError` and `ValueError` for anything but an answer that says well."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "trainguard"})
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS):
        pass


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What was posted would arrive as a question without a body."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _in_words(error: Exception) -> str:
    """Without the address, which may be a secret: what is wrong with it is told with it."""
    if isinstance(error, HTTPError):
        return f"the webhook answered {error.code} {error.reason}"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {getattr(error, 'reason', None) or error}"
    return type(error).__name__
