"""What one run's monitor has to write: the journal first, then control.

Nothing is told to a trainer that is not on record: while the journal can't be written, control waits. A
write that fails loses nothing: the record stays at the head of the queue, the next `flush` tries again, and
control that meanwhile expired is no longer among what is due. Everything in control has an id, and an id is
written once in the life of a run, however many monitors it sees.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from trainguard_wire.control import Control, Judged
from trainguard_wire.journal import Derived, Input, Opened
from trainguard_wire.rundir import RunDirectory


def _tell_nobody(message: Control) -> None:
    pass


class Outbox:
    """Writes the journal and the control of one run. Only for the holder of the run's monitor lease.

    ``failures`` counts the flushes that failed, and ``failing`` says whether the last one did.
    """

    def __init__(self, run: RunDirectory) -> None:
        """Read which control was ever written. Raises `OSError`."""
        self.failures = 0
        self.failing = False
        self._delivered = _ids_in(run)
        self._heading: Opened | None = None
        self._unwritten: deque[Opened | Input | Derived] = deque()
        self._journal = run.write_journal()
        self._control = run.write_control()

    @property
    def has_unwritten(self) -> bool:
        return bool(self._unwritten)

    def undelivered(self, due: Iterable[Control]) -> list[Control]:
        return [message for message in due if message.id not in self._delivered]

    def head(self, opened: Opened) -> None:
        """Write ``opened`` before the first record that is yet to come, if ever one comes."""
        self._heading = opened

    def record(self, records: Sequence[Opened | Input | Derived]) -> None:
        """Queue for the journal."""
        if records and self._heading is not None:
            self._unwritten.append(self._heading)
            self._heading = None
        self._unwritten.extend(records)

    def flush(
        self,
        due: Iterable[Control] = (),
        told: Callable[[Control], None] = _tell_nobody,
        judged: Judged | None = None,
    ) -> None:
        """Write the queue, then what of ``due`` was never delivered, calling ``told`` with each, and ``judged`` last.

        Raises `OSError`.
        """
        try:
            self._write_journal()
            self._write_control(due, told)
            if judged is not None:
                self._control.append(judged)
        except OSError:
            self.failures += 1
            self.failing = True
            raise
        self.failing = False

    def close(self) -> None:
        try:
            self._journal.close()
        finally:
            self._control.close()

    def _write_journal(self) -> None:
        # One write each, so that a failure leaves no doubt about which records are there.
        while self._unwritten:
            self._journal.append(self._unwritten[0])
            self._unwritten.popleft()

    def _write_control(self, due: Iterable[Control], told: Callable[[Control], None]) -> None:
        for message in self.undelivered(due):
            self._control.append(message)
            self._delivered.add(message.id)
            told(message)


def _ids_in(run: RunDirectory) -> set[str]:
    reader = run.read_control()
    try:
        ids: set[str] = set()
        while messages := reader.read():
            ids.update(message.id for message in messages if not isinstance(message, Judged))
        return ids
    finally:
        reader.close()
