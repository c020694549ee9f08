"""Driving one run: lease, catch-up, fold, deliver.

A driver begins by taking the run's monitor lease; while somebody else has it, the run is *held*. It then reads
what was written before, and folds the telemetry from its first record to its present end: that is the same
fold that goes on afterwards, so there is no state to save and none to restore. During this catch-up nothing is
written. At its end the journal is completed with what a killed monitor could not write (see `journal`), and
control with what is still due and was never delivered. From then on each chunk of telemetry is folded, what
followed from it is journalled, and only then control is written.

Killed at any byte, all this starts again and comes to the same: a decision follows from telemetry alone, and
its id tells whether it was delivered.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from trainguard_monitor.journal import Chain, Numbered, last_chain, resume
from trainguard_monitor.outbox import Outbox
from trainguard_monitor.table import RunState, RunView
from trainguard_monitor.tally import Tally, Zeros
from trainguard_rules import Engine, Output, RuleBook
from trainguard_wire import Approval, Control, Lease, Opened, RecordReader, RunDirectory, Telemetry, __version__

log = logging.getLogger(__name__)

RETRY_WRITE = 0.2


class Driver:
    """One run under one rule book. `poll` from one thread; `view` from any."""

    def __init__(self, run: RunDirectory, book: RuleBook, *, clock: Callable[[], float] = time.time) -> None:
        self.run = run
        self.book = book
        self._clock = clock
        self._lock = threading.Lock()
        self._zeros = Zeros.of(book)
        self._hold: _Hold | None = None
        self._failed = False
        self._begin()

    def _begin(self) -> None:
        self._engine = Engine(self.book)
        self._tally = Tally()
        self._derived: list[Numbered] | None = []
        self._fresh_control = False
        self._write_again_at = 0.0

    @property
    def is_driven(self) -> bool:
        """Whether this monitor holds the run."""
        return self._hold is not None

    @property
    def is_catching_up(self) -> bool:
        return self._derived is not None

    @property
    def is_busy(self) -> bool:
        """Whether a prompt look at the telemetry matters."""
        return self._engine.busy

    @property
    def has_ended(self) -> bool:
        return self._tally.ended

    def open(self) -> None:
        """Take the run. Raises `LeaseHeld`, `RunDirectoryError` for a run of another schema, `OSError`."""
        self.run.read_info()
        hold = _Hold.take(self.run)
        with self._lock:
            self._begin()
            self._hold, self._failed = hold, False

    def poll(self, now: float) -> bool:
        """Fold what came since the last poll, a chunk at most, and deliver. True where anything came.

        Raises what `open` raises; a write that fails is dealt with here.
        """
        if self._hold is None:
            self.open()
        hold = self._hold
        assert hold is not None
        records = hold.telemetry.read()
        with self._lock:
            for record in records:
                self._fold_approvals(hold)
                self._fold(hold, record)
        if self._derived is not None:
            if not records:
                self._fold_approvals(hold)
                self._take_up(hold, self._derived)
        elif now >= self._write_again_at:
            self._deliver(hold, now)
        return bool(records)

    def answer(self, intervention: str, *, approved: bool, by: str) -> bool:
        """Take in a person's answer to a request of a rule in mode ``approve``; False while we can't.

        It is journalled as an input of the fold, at the place in the telemetry where it came in, so that a
        monitor that starts again takes it in at the same place.
        """
        hold = self._hold
        if hold is None or self.is_catching_up:
            return False
        approval = Approval(
            intervention=intervention,
            approved=approved,
            by=by,
            time=self._clock(),
            after_record=self._engine.records,
        )
        with self._lock:
            hold.outbox.record([approval])
            self._take_in(hold, approval)
        self._flush(hold, self._engine.open_control())
        return True

    def drain(self, now: float) -> None:
        """Fold to the present end of the telemetry and deliver. Raises as `poll` does."""
        while self.poll(now) or self.is_catching_up:
            pass

    def is_gone(self) -> bool:
        """Whether the run we hold was removed, or removed and made anew, under us."""
        return self._hold is not None and self._hold.is_gone()

    def fail(self) -> None:
        """Let go of a run that can't be driven, and show it as failed."""
        self._failed = True
        self.close()

    def close(self) -> None:
        """Give the run back. Whoever takes it next catches up from the files."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def view(self) -> RunView:
        with self._lock:
            engine, tally, hold = self._engine, self._tally, self._hold
            return RunView(
                run=self.run.name,
                state=self._state(),
                rules_sha256=self.book.sha256,
                step=tally.step,
                generation=engine.generation,
                last_sample=tally.last_sample,
                signals=dict(engine.last),
                nonfinite=dict.fromkeys(engine.last, 0) | engine.nonfinite,
                rules=tuple(engine.status()),
                decisions=self._zeros.decisions | tally.decisions,
                actions=self._zeros.actions | tally.actions,
                verifications=self._zeros.verifications | tally.verifications,
                expectations=dict(tally.expectations),
                received=dict(tally.received),
                corrupt=hold.telemetry.corrupt if hold else 0,
                late=engine.late,
                trainer_lost=tally.trainer_lost,
                write_failures=hold.outbox.failures if hold else 0,
            )

    def _state(self) -> RunState:
        if self._failed:
            return "failed"
        if self._hold is None:
            return "held"
        return "ended" if self._tally.ended and not self.is_catching_up else "driven"

    def _fold_approvals(self, hold: "_Hold") -> None:
        """In catch-up: what people answered at this place in the telemetry."""
        chain = hold.chain
        if chain is None or self._derived is None or chain.rules_sha256 != self.book.sha256:
            return
        while hold.approvals and hold.approvals[0].after_record <= self._engine.records:
            self._take_in(hold, hold.approvals.popleft())

    def _fold(self, hold: "_Hold", record: Telemetry) -> None:
        self._tally.see(record)
        self._follow(hold, self._engine.feed(record), self._engine.records)

    def _take_in(self, hold: "_Hold", approval: Approval) -> None:
        self._follow(hold, self._engine.feed(approval), self._engine.records + 1)

    def _follow(self, hold: "_Hold", output: Output, number: int) -> None:
        if self._derived is not None:
            self._derived.extend(Numbered(number, derived) for derived in output.journal)
            return
        self._tally.note(output.journal)
        hold.outbox.record(output.journal)
        self._fresh_control |= bool(output.control)

    def _take_up(self, hold: "_Hold", derived: list[Numbered]) -> None:
        """The end of catch-up: complete the journal, then control."""
        engine = self._engine
        due = hold.outbox.undelivered(engine.open_control())
        plan = resume(hold.chain, self.book.sha256, derived, engine.records, [message.id for message in due])
        if plan.broken:
            self._log(logging.ERROR, "the journal does not follow from the telemetry; it begins anew")
        opened = self._opened(plan.from_record)
        if self.has_ended and hold.chain and not (plan.broken or plan.missing or due):
            hold.outbox.head(opened)  # or each start would add a line to every run that is over
        else:
            hold.outbox.record([opened, *plan.missing])
        with self._lock:
            self._tally.note(plan.records)
            self._derived = hold.chain = None
        self._flush(hold, due)
        self._log(logging.INFO, f"followed from record {plan.from_record} on, now at step {self._tally.step}")

    def _deliver(self, hold: "_Hold", now: float) -> None:
        if hold.outbox.has_unwritten or self._fresh_control:
            self._flush(hold, self._engine.open_control())
            self._write_again_at = now + RETRY_WRITE if hold.outbox.failing else now

    def _flush(self, hold: "_Hold", due: Iterable[Control]) -> None:
        hold.outbox.flush(due)
        self._fresh_control = hold.outbox.failing

    def _opened(self, from_record: int) -> Opened:
        return Opened(
            time=self._clock(),
            pid=os.getpid(),
            host=socket.gethostname(),
            version=__version__,
            rules=", ".join(self.book.sources),
            rules_sha256=self.book.sha256,
            from_record=from_record,
        )

    def _log(self, level: int, message: str) -> None:
        log.log(level, "%s: %s", self.run.name, message, extra={"run": self.run.name})


class _Hold:
    """What a driver has while it holds the run: the lease and the open files."""

    def __init__(self, run: RunDirectory, lease: Lease) -> None:
        self._lease = lease
        self._lock_file = run.monitor_lock
        self._identity = _identity(run.monitor_lock)
        self.outbox = Outbox(run)
        self.chain: Chain | None = last_chain(run)
        self.approvals = deque(self.chain.approvals if self.chain else ())
        self.telemetry: RecordReader[Telemetry] = run.read_telemetry()

    @classmethod
    def take(cls, run: RunDirectory) -> "_Hold":
        lease = Lease.take(run.monitor_lock)
        try:
            return cls(run, lease)
        except BaseException:
            lease.release()
            raise

    def is_gone(self) -> bool:
        return _identity(self._lock_file) != self._identity

    def release(self) -> None:
        self.telemetry.close()
        self.outbox.close()
        self._lease.release()


def _identity(path: "os.PathLike[str]") -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
