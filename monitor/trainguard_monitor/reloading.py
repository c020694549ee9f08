"""New rules for a monitor that runs: on request, on SIGHUP, and when a rule file is saved.

Loading happens in the thread that asks for it; the daemon's loop gets rules that are sound, or none. While files
are no good the rules in force stay, and it shows (`RulesView.last_reload_successful`).

Directories are watched, not files: an editor replaces a file, and Kubernetes swaps a link that the file's link leads
over. Whatever happened in there, the contents tell whether anything changed. Of the events only those count that come
when somebody is done: an append to a log that lies near by must not become dearer.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

from watchdog.events import (
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from trainguard_rules import RuleBook, RuleFileError, load_rules, shipped_packs
from trainguard_wire.journal import Mode

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.2  # so long nothing may happen before we look: whoever saves may do it in several steps
POLLING_SECONDS = 1.0
HAND_OVER_SECONDS = 10.0

_Message = Literal["changed", "reload", "stop"]
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirMovedEvent,
]


class Ruled(Protocol):
    """What is given the rules: a `daemon.Daemon`."""

    def replace_rules(self, book: RuleBook) -> "Future[None]": ...

    def note_failed_reload(self) -> None: ...


class Reloader:
    """Loads rules from where they were loaded before, none of them freer than ``mode``. From any thread."""

    def __init__(self, monitor: Ruled, sources: Sequence[str], mode: Mode = "act") -> None:
        packs = shipped_packs()
        self.files = [Path(source) for source in sources if source not in packs]
        self._monitor, self._sources, self._mode = monitor, sources, mode
        self._lock = threading.Lock()
        self._tried = self._contents()

    def reload(self) -> str | None:
        """Load the rules, and have runs judged by them. Why not, where they are no good; then nothing changes."""
        with self._lock:
            self._tried = self._contents()
            try:
                book = load_rules(self._sources).with_mode(self._mode)
                self._monitor.replace_rules(book).result(HAND_OVER_SECONDS)
            except RuleFileError as error:
                return self._failed(str(error))
            except TimeoutError:
                return self._failed("the monitor is not at work")
            except Exception as error:
                log.exception("a defect of trainguard")
                return self._failed(f"a defect of trainguard: {type(error).__name__}: {error}")
            log.info("rules loaded from %s", ", ".join(self._sources))
            return None

    def reload_if_changed(self) -> None:
        """`reload`, where any file has other contents than the last time."""
        if self._contents() != self._tried:
            self.reload()

    def _failed(self, reason: str) -> str:
        self._monitor.note_failed_reload()
        log.error("rules not loaded, those in force stay:\n%s", reason)
        return reason

    def _contents(self) -> list[str | None]:
        return [_digest(file) for file in self.files]


class RuleWatch:
    """Reloads when a rule file was saved, or on `request`, in a thread of its own from `start` to `stop`."""

    def __init__(self, reloader: Reloader, *, polling: bool = False) -> None:
        self._reloader = reloader
        self._observer: BaseObserver = PollingObserver(timeout=POLLING_SECONDS) if polling else Observer()
        self._events = [*_EVENTS, FileModifiedEvent] if polling else _EVENTS
        self._inbox: SimpleQueue[_Message] = SimpleQueue()
        self._watches: dict[str, ObservedWatch] = {}
        self._thread = threading.Thread(target=self._run, name="trainguard-rules", daemon=True)

    def start(self) -> None:
        self._observer.start()
        self._watch_directories()
        self._thread.start()

    def stop(self) -> None:
        self._inbox.put("stop")
        self._thread.join()
        self._observer.stop()
        self._observer.join()

    def request(self) -> None:
        """Reload, changed or not. From any thread, and from a signal handler."""
        self._inbox.put("reload")

    def _run(self) -> None:
        while (messages := self._next()).isdisjoint({"stop"}):
            if "reload" in messages:
                self._reloader.reload()
            else:
                self._reloader.reload_if_changed()
            self._watch_directories()

    def _next(self) -> "set[_Message]":
        """What comes next, and whatever comes close behind it."""
        messages = {self._inbox.get()}
        with suppress(Empty):
            while "stop" not in messages:
                messages.add(self._inbox.get(timeout=QUIET_SECONDS))
        return messages

    def _watch_directories(self) -> None:
        """Those that the files are in, and where links lead: which may be elsewhere every time."""
        files = self._reloader.files
        paths = [path for file in files for path in (os.path.abspath(file), os.path.realpath(file))]
        wanted = {os.path.dirname(path) for path in paths}
        for directory in self._watches.keys() - wanted:
            self._observer.unschedule(self._watches.pop(directory))
        for directory in wanted - self._watches.keys():
            try:
                self._watches[directory] = self._observer.schedule(
                    _Handler(self._inbox), directory, event_filter=self._events
                )
            except OSError as error:
                log.warning("can't watch %s, reload by SIGHUP or over HTTP: %s", directory, error)


class _Handler(FileSystemEventHandler):
    def __init__(self, inbox: "SimpleQueue[_Message]") -> None:
        self._inbox = inbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._inbox.put("changed")


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None
