"""What a monitor has while it drives a run: the lease, what was written before, and the open files."""

import os
import socket
from contextlib import suppress

from trainguard_wire.chain import Chain, last_chain
from trainguard_wire.journal import Mode, Opened
from trainguard_wire.lease import Lease
from trainguard_wire.outbox import Outbox
from trainguard_wire.rundir import RunDirectory
from trainguard_wire.segments import RecordReader
from trainguard_wire.telemetry import Telemetry


class Hold:
    """A run, held. ``chain`` is what its journal ended with; ``telemetry`` reads from the first record on."""

    def __init__(self, run: RunDirectory, lease: Lease) -> None:
        self._lease = lease
        self._lock_file = run.monitor_lock
        self._identity = _identity(os.stat(run.monitor_lock))
        self.outbox = Outbox(run)
        self.chain: Chain | None = last_chain(run)
        self._run = run
        self.telemetry: RecordReader[Telemetry] = run.read_telemetry()

    @classmethod
    def take(cls, run: RunDirectory) -> "Hold":
        """Take the run's monitor lease. Raises `LeaseHeld` where another monitor has it, and `OSError`."""
        lease = Lease.take(run.monitor_lock)
        try:
            return cls(run, lease)
        except BaseException:
            lease.release()
            raise

    def is_gone(self) -> bool:
        """Whether the run was removed, or removed and made anew, under us. Not where that can't be seen just now."""
        try:
            return _identity(os.stat(self._lock_file)) != self._identity
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def rewind(self) -> None:
        """Read the telemetry from the first record on, again."""
        self.telemetry.close()
        self.telemetry = self._run.read_telemetry()

    def release(self) -> None:
        """Let go of everything, also where a disk says only now that it did not take what was written."""
        for let_go in (self.telemetry.close, self.outbox.close, self._lease.release):
            with suppress(OSError):
                let_go()


def opened_here(*, time: float, version: str, rules: str, rules_sha256: str, from_record: int, mode: Mode) -> Opened:
    """The record by which this process takes a run up."""
    return Opened(
        time=time,
        pid=os.getpid(),
        host=socket.gethostname(),
        version=version,
        rules=rules,
        rules_sha256=rules_sha256,
        from_record=from_record,
        mode=mode,
    )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
