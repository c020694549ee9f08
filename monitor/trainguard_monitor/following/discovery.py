"""Finding runs: a scan, and somebody who says when to scan.

Events carry no news here: whatever changed, the answer is to scan the directory again, which is cheap and
can't go stale. Watches make that prompt, and a slow regular scan makes it certain (a watch may be lost, refused,
or never fire, as on NFS). The directory of runs is watched, and each new subdirectory until its ``run.json`` is
there; nothing below. Only creation, renaming and removal are watched, never modification: files that
somebody appends to near by must not become dearer because we look.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from trainguard_wire import RunDirectory
from trainguard_wire.rundir import runs_in

log = logging.getLogger(__name__)

POLLING_SECONDS = 1.0
MOST_WAITING = 16  # a watch is a thread; older candidates are left to the regular scan
_OF_A_RUN = frozenset({"telemetry", "control", "journal", "checkpoints"})
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Discovery:
    """Calls ``changed`` from a thread of its own when a `scan` may find something new."""

    def __init__(self, directory: Path, changed: Callable[[], None], *, polling: bool = False) -> None:
        self.directory = directory
        self._handler = _Handler(changed)
        self._observer: BaseObserver = PollingObserver(timeout=POLLING_SECONDS) if polling else Observer()
        self._watches: dict[str, ObservedWatch] = {}
        self._refused = False

    def start(self) -> None:
        self._observer.start()
        self._watch(str(self.directory))

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()

    def scan(self) -> list[RunDirectory]:
        """The runs there are now. Watches the directories that may yet become one."""
        runs = list(runs_in(self.directory))
        self._watch_only([str(self.directory), *self._candidates({run.path for run in runs})])
        return runs

    def _candidates(self, runs: set[Path]) -> list[str]:
        if self.directory in runs:
            return []
        try:
            with os.scandir(self.directory) as entries:
                found = [
                    (entry.stat().st_mtime, str(path))
                    for entry in entries
                    if (path := self.directory / entry.name) not in runs
                    and entry.name not in _OF_A_RUN
                    and entry.is_dir()
                ]
        except OSError:
            return []  # something was removed while we looked: the next scan will tell
        return [path for _, path in sorted(found, reverse=True)[:MOST_WAITING]]

    def _watch_only(self, paths: list[str]) -> None:
        for path in self._watches.keys() - set(paths):
            self._unwatch(path)
        for path in paths:
            if path not in self._watches:
                self._watch(path)

    def _watch(self, path: str) -> None:
        try:
            self._watches[path] = self._observer.schedule(self._handler, path, event_filter=_EVENTS)
        except OSError as error:
            if not self._refused and os.path.isdir(path):
                log.warning("can't watch %s, will look regularly instead: %s", path, error)
                self._refused = True

    def _unwatch(self, path: str) -> None:
        self._observer.unschedule(self._watches.pop(path))


class _Handler(FileSystemEventHandler):
    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._changed()
