"""Driving one run: lease, catch-up, fold, deliver.

A driver begins by taking the run's monitor lease; while somebody else has it, the run is *held*. It then reads
what was written before, and folds the telemetry from its first record to its present end: that is the same
fold that goes on afterwards, so there is no state to save and none to restore. During this catch-up nothing is
written. At its end the journal is completed with what a killed monitor could not write (see `CatchUp`), and
control with what is still due and was never delivered. From then on each chunk of telemetry is folded, what
followed from it is journalled, and only then control is written.

Killed at any byte, all this starts again and comes to the same: a decision follows from telemetry alone, and
its id tells whether it was delivered.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from trainguard_monitor.feed import Feed, Word
from trainguard_monitor.lockstep import Lockstep
from trainguard_monitor.table import RunDetail, RunState, RunView
from trainguard_monitor.tally import Tally, Zeros
from trainguard_rules import CatchUp, Engine, Output, RuleBook
from trainguard_wire import Approval, Control, Derived, RunDirectory, Telemetry, __version__
from trainguard_wire.hold import Hold, opened_here

log = logging.getLogger(__name__)

RETRY_WRITE = 0.2


class Driver:
    """One run under one rule book. `poll` from one thread; `view` from any."""

    def __init__(
        self,
        run: RunDirectory,
        book: RuleBook,
        *,
        clock: Callable[[], float] = time.time,
        feed: Feed | None = None,
    ) -> None:
        self.run = run
        self.book = book
        self._clock = clock
        self._feed = feed or Feed()
        self._lock = threading.Lock()
        self._zeros = Zeros.of(book)
        self._hold: Hold | None = None
        self._failed = False
        self.judges_itself = False  # the run, in its own training process, as of the last `open`
        self._begin(None)

    def _begin(self, hold: Hold | None) -> None:
        self._engine = Engine(self.book)
        self._catchup: CatchUp | None = CatchUp(self._engine, self.book.sha256, hold.chain if hold else None)
        self._tally = Tally()
        self._news: list[Derived] = []
        self._lockstep = Lockstep(self.run)
        self._fresh_control = False
        self._write_again_at = 0.0

    @property
    def is_driven(self) -> bool:
        """Whether this monitor holds the run."""
        return self._hold is not None

    @property
    def is_catching_up(self) -> bool:
        return self._catchup is not None

    @property
    def is_busy(self) -> bool:
        """Whether a prompt look at the telemetry matters."""
        return self._engine.busy or self._lockstep.on

    @property
    def has_ended(self) -> bool:
        return self._tally.ended

    def open(self) -> None:
        """Take the run. Raises `LeaseHeld`, `RunDirectoryError` for a run of another schema, `OSError`."""
        self.judges_itself = self.run.read_info().monitor == "embedded"
        hold = Hold.take(self.run)
        with self._lock:
            self._begin(hold)
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
                self._fold(hold, record)
        if self._catchup is not None:
            if not records:
                self._take_up(hold, self._catchup)
        else:
            if now >= self._write_again_at:
                self._deliver(hold, now)
            self._tell_feed(records)
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
            self._follow(hold, self._engine.feed(approval))
        self._flush(hold, self._engine.open_control())
        self._tell_feed([])
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
                epoch=tally.epoch,
                generation=engine.generation,
                last_sample=tally.last_sample,
                signals=dict(engine.last),
                nonfinite=dict.fromkeys(engine.last, 0) | engine.nonfinite,
                rules=tuple(engine.status()),
                decisions=self._zeros.decisions | tally.decisions,
                actions=self._zeros.actions | tally.actions,
                verifications=self._zeros.verifications | tally.verifications,
                expectations=dict(tally.expectations),
                latency_seconds=tally.latencies.seconds.copy(),
                latency_steps=tally.latencies.steps.copy(),
                received=dict(tally.received),
                corrupt=hold.telemetry.corrupt if hold else 0,
                late=engine.late,
                trainer_lost=tally.trainer_lost,
                write_failures=hold.outbox.failures if hold else 0,
            )

    def detail(self) -> RunDetail:
        """`view` and what takes more work. From any thread."""
        view = self.view()
        with self._lock:
            engine = self._engine
            return RunDetail(
                directory=self.run,
                view=view,
                rules=tuple(engine.details()),
                requests=tuple(engine.requests),
                in_flight=tuple(engine.in_flight),
            )

    def _state(self) -> RunState:
        if self._failed:
            return "failed"
        if self._hold is None:
            return "held"
        return "ended" if self._tally.ended and not self.is_catching_up else "driven"

    def _fold(self, hold: Hold, record: Telemetry) -> None:
        self._lockstep.see(record)
        self._tally.see(record)
        if self._catchup is not None:
            self._catchup.feed(record)
        else:
            self._follow(hold, self._engine.feed(record))

    def _follow(self, hold: Hold, output: Output) -> None:
        self._tally.note(output.journal)
        self._news += output.journal
        hold.outbox.record(output.journal)
        self._fresh_control |= bool(output.control)

    def _take_up(self, hold: Hold, catchup: CatchUp) -> None:
        """The end of catch-up: complete the journal, then control."""
        catchup.finish()
        due = hold.outbox.undelivered(self._engine.open_control())
        plan = catchup.resume()
        if plan.broken:
            self._log(logging.ERROR, "the journal does not follow from the telemetry; it begins anew")
        opened = opened_here(
            time=self._clock(),
            version=__version__,
            rules=", ".join(self.book.sources),
            rules_sha256=self.book.sha256,
            from_record=plan.from_record,
        )
        if self.has_ended and hold.chain and not (plan.broken or plan.missing or due):
            hold.outbox.head(opened)  # or each start would add a line to every run that is over
        else:
            hold.outbox.record([opened, *plan.missing])
        with self._lock:
            self._tally.note(plan.records)
            self._catchup = hold.chain = None
        self._flush(hold, due)
        self._feed.publish(self.run.name, [], [Word("followed")])
        self._log(logging.INFO, f"followed from record {plan.from_record} on, now at step {self._tally.step}")

    def _tell_feed(self, records: Iterable[Telemetry]) -> None:
        news, self._news = self._news, []
        self._feed.publish(self.run.name, records, news)

    def _deliver(self, hold: Hold, now: float) -> None:
        if hold.outbox.has_unwritten or self._fresh_control or self._lockstep.due(self._engine.generation):
            self._flush(hold, self._engine.open_control())
            self._write_again_at = now + RETRY_WRITE if hold.outbox.failing else now

    def _flush(self, hold: Hold, due: Iterable[Control]) -> None:
        """A failure is counted, logged once, and tried again."""
        was_failing = hold.outbox.failing
        try:
            hold.outbox.flush(due, self._log_told, self._lockstep.due(self._engine.generation))
        except OSError as error:
            if not was_failing:
                self._log(logging.ERROR, f"can't write, will go on trying: {error}")
        else:
            self._lockstep.told()
            if was_failing:
                self._log(logging.WARNING, "can write again")
        self._fresh_control = hold.outbox.failing

    def _log_told(self, message: Control) -> None:
        kinds = [action.kind for action in getattr(message, "actions", ())]
        self._log(logging.INFO, f"{message.id}: {', '.join(kinds)}" if kinds else message.id)

    def _log(self, level: int, text: str) -> None:
        log.log(level, "%s: %s", self.run.name, text, extra={"run": self.run.name})
