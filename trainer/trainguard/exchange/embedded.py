"""The embedded monitor: the rules at work inside the training process, in the training thread.

The engine, the journal and the control files are those of the daemon. What differs is the way: the emitter hands
each record over as it is written, and the inbox reads what was decided from here. So each step is judged before the
next begins, and a run is exactly reproducible. For whoever looks later the run directory is like any other; while the
guard is open it has its monitor, and a daemon shows it as held.

In a directory that held a run before, the telemetry of old is folded first, up to and with the hello of this process,
and the journal's chain goes on (`trainguard_rules.catchup`).

Where there is no directory to write to, or the disk is full, judging goes on: a run is better guarded off the record
than not at all. A fault of the monitor itself ends it, and training goes on unguarded.

The only module of the trainer's side that knows the rules; nothing imports it unless it is asked for.
"""

from collections.abc import Sequence

from trainguard.clock import Clock
from trainguard.faults import Faults
from trainguard_rules import CatchUp, Engine, RuleBook, load_rules
from trainguard_wire import Control, Delivered, Derived, Input, LeaseHeld, RunDirectory, Telemetry, __version__
from trainguard_wire.hold import Hold, opened_here
from trainguard_wire.journal import Mode


class Embedded:
    """Judges one run: `take` its directory where there is one, then `judge` each record and `read` what to do."""

    def __init__(self, book: RuleBook, clock: Clock, faults: Faults) -> None:
        self._book, self._clock, self._faults = book, clock, faults
        self._hold: Hold | None = None
        self._fresh: list[Control] = []
        self._untold: list[Control] = []
        self._working = True
        self._begin(None)

    @classmethod
    def of(cls, rules: Sequence[str], mode: Mode, clock: Clock, faults: Faults) -> "Embedded":
        """With these packs and rule files, no rule freer than ``mode``.

        Raises `RuleFileError`, a ValueError, which names every problem.
        """
        return cls(load_rules(rules).with_mode(mode), clock, faults)

    def take(self, run: RunDirectory) -> bool:
        """Hold the run, and fold what was written before. False where it has a monitor already, which is said.

        Only while nobody writes telemetry.
        """
        try:
            self._hold = Hold.take(run)
            self._begin(self._hold)
        except LeaseHeld as error:
            self._faults.note("monitor", f"{error}, and obeys that one")
            return False
        except Exception as error:
            self._faults.note("monitor", error)
            self.close()
            self._begin(None)
        return True

    def judge(self, record: Telemetry) -> None:
        """Fold in the next record of this process."""
        if not self._working:
            return
        try:
            if self._catchup is not None:
                self._catchup.feed(record)
                self._take_up(self._catchup)
                return
            output = self._engine.feed(record)
            refused = self._refuse_notifications()
        except Exception as error:
            self._working = False
            self._faults.note("monitor", error)
            return
        if self._hold is not None:
            self._hold.outbox.record([*output.journal, *refused])
        self._fresh += output.control

    def _refuse_notifications(self) -> list[Input | Derived]:
        """Nobody sends any from here, and that is what becomes of them."""
        records: list[Input | Derived] = []
        for notification in self._engine.notifications.unsent:
            refused = Delivered(
                action=notification.id,
                status="refused",
                reason="an embedded monitor has no webhooks",
                time=notification.time,
                after_record=self._engine.records,
            )
            records += [refused, *self._engine.feed(refused).journal]
        return records

    def read(self) -> list[Control]:
        """What was decided since the last call; by now it is on record, where that can be had."""
        fresh, self._fresh = self._fresh, []
        self._write_down(fresh)
        return fresh

    def close(self) -> None:
        """Write what is left, and give the run back."""
        if self._hold is not None:
            self._write_down([])
            self._hold.release()
            self._hold = None

    def _begin(self, hold: Hold | None) -> None:
        self._engine = Engine(self._book)
        self._catchup: CatchUp | None = None
        if hold is not None:
            self._catchup = CatchUp(self._engine, self._book.sha256, hold.chain)
            while records := hold.telemetry.read():
                for record in records:
                    self._catchup.feed(record)

    def _take_up(self, catchup: CatchUp) -> None:
        """With the hello nothing is in flight any more: there is a journal to complete, and nothing to deliver."""
        self._catchup = None
        catchup.finish()
        plan = catchup.resume()
        if plan.broken:
            self._faults.note("monitor", "the journal does not follow from the telemetry; it begins anew")
        opened = opened_here(
            time=self._clock.time(),
            version=__version__,
            rules=", ".join(self._book.sources),
            rules_sha256=self._book.sha256,
            from_record=plan.from_record,
            mode=self._book.mode,
        )
        if self._hold is not None:
            self._hold.outbox.record([opened, *plan.missing])

    def _write_down(self, fresh: list[Control]) -> None:
        """The journal, then control; what fails is tried again with the next."""
        self._untold += fresh
        if self._hold is None or not (self._untold or self._hold.outbox.has_unwritten):
            return
        try:
            self._hold.outbox.flush(self._untold)
        except OSError as error:
            self._faults.note("journal", error)
        else:
            self._untold.clear()
