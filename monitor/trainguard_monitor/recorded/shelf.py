"""What was read of the runs that were asked for last: a few, each for one thread at a time.

The samples of a long run take a while to read; who asks for its journal does not wait for them.
A run that was removed, or removed and made anew, is not the run it was.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar

from trainguard_monitor.recorded.chronicle import Chronicle
from trainguard_monitor.recorded.history import History
from trainguard_wire import RunDirectory

MOST = 4

_Answer = TypeVar("_Answer")


class Read(NamedTuple):
    """What was read of one run."""

    history: History
    history_lock: Lock
    chronicle: Chronicle
    chronicle_lock: Lock


class Shelf:
    """Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[Path, int, int], Read] = OrderedDict()

    def history(self, run: RunDirectory, ask: Callable[[History], _Answer]) -> _Answer:
        """What ``ask`` makes of the run's samples as of now. Raises `OSError`."""
        read = self._of(run)
        with read.history_lock:
            read.history.catch_up()
            return ask(read.history)

    def chronicle(self, run: RunDirectory, ask: Callable[[Chronicle], _Answer]) -> _Answer:
        """What ``ask`` makes of the run's journal as of now. Raises `OSError`."""
        read = self._of(run)
        with read.chronicle_lock:
            read.chronicle.catch_up()
            return ask(read.chronicle)

    def _of(self, run: RunDirectory) -> Read:
        found = run.path.stat()
        key = (run.path, found.st_dev, found.st_ino)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = Read(History(run), Lock(), Chronicle(run), Lock())
            self._kept.move_to_end(key)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            return self._kept[key]
