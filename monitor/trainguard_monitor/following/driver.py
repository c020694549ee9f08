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
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from trainguard_monitor.feed import Feed, Word
from trainguard_monitor.following.cadence import Pace
from trainguard_monitor.following.delivery import Delivery
from trainguard_monitor.following.lockstep import Lockstep
from trainguard_monitor.following.succession import Succession
from trainguard_monitor.logs import RunLog
from trainguard_monitor.notifier.firing import Firing, Sink
from trainguard_monitor.views.portrait import detail_of, view_of
from trainguard_monitor.views.table import RunDetail, RunState, RunView, Taken
from trainguard_monitor.views.tally import Tally, Zeros
from trainguard_rules import CatchUp, Engine, Output, RuleBook
from trainguard_rules.deciding.notifications import Notification
from trainguard_wire import Control, Delivered, Derived, Input, LeaseHeld, Order, RunDirectory, Telemetry
from trainguard_wire.hold import Hold

# Why this monitor doesn't have a run: it wasn't opened yet, another has it, it can't be opened, or it was lost hold of.
_Absence = Literal["found", "held", "failed", "lost"]


class Driver:
    """One run under one rule book. `poll` from one thread; `view` from any."""

    def __init__(
        self,
        run: RunDirectory,
        book: RuleBook,
        *,
        clock: Callable[[], float] = time.time,
        feed: Feed | None = None,
        sink: Sink | None = None,
        notify: Callable[[Notification], None] | None = None,
    ) -> None:
        self.run = run
        self.book = book
        self._clock = clock
        self._log = RunLog(logging.getLogger(__name__), run.name)
        self._feed, self._notify = feed or Feed(), notify
        self._firing = Firing(run.name, sink)
        self._lock = threading.Lock()
        self._hold: Hold | None = None
        self._coming: RuleBook | None = None
        self._succession: Succession | None = None
        self._absence: _Absence = "found"
        self.judges_itself = False  # the run, in its own training process, as of the last `open`
        self._begin(None)

    def _begin(self, hold: Hold | None, *, anew: bool = False) -> None:
        # Before it is opened a run has no rules: to compile them takes a while, and another monitor may have it.
        self._engine = Engine(self.book if hold else RuleBook(rules=()))
        chain = hold.chain if hold else None
        self._catchup: CatchUp | None = CatchUp(self._engine, self.book.sha256, chain, anew=anew)
        self._tally = Tally(self.book)
        self._news: list[Derived] = []
        self._lockstep = Lockstep(self.run)
        self._delivery = Delivery(hold.outbox, self._lockstep, self._log, self._notify) if hold else None

    @property
    def is_driven(self) -> bool:
        """Whether this monitor holds the run."""
        return self._hold is not None

    @property
    def is_catching_up(self) -> bool:
        return self._catchup is not None

    @property
    def is_changing_rules(self) -> bool:
        """Whether other rules are to take over: `change_rules` brings them closer."""
        return self._coming is not None

    @property
    def may_change_rules(self) -> bool:
        """Whether they can do so now: they read the journal, and need all of it."""
        return self._coming is not None and self._hold is not None and not self._hold.outbox.has_unwritten

    @property
    def pace(self) -> Pace:
        """How much a prompt look at the telemetry matters."""
        if self._catchup is not None or self.has_ended:
            return "behind" if self._catchup is not None else "ended"
        return "lockstep" if self._lockstep.on else "busy" if self._engine.busy else "calm"

    @property
    def has_ended(self) -> bool:
        return self._tally.course.ended

    def open(self) -> Hold:
        """Take the run. Raises `LeaseHeld`, `RunDirectoryError` for a run of another schema, `OSError`."""
        self.judges_itself = self.run.read_info().monitor == "embedded"
        try:
            hold = Hold.take(self.run)
        except LeaseHeld:
            self._absence = "held"
            raise
        with self._lock:
            self._begin(hold)
            self._hold, self._absence = hold, "found"
        return hold

    def poll(self, now: float) -> Sequence[Telemetry]:
        """Fold what came since the last poll, a chunk at most, and deliver. Gives what came.

        Raises what `open` raises; a write that fails is dealt with here.
        """
        hold = self._hold or self.open()
        records = hold.telemetry.read()
        with self._lock:
            for record in records:
                self._fold(hold, record)
        if self._catchup is not None:
            if not records:
                self._take_up(hold, self._catchup)
        else:
            self._deliver(now)
            self._tell_feed(records)
            if self.has_ended:
                self._firing.end(self._clock())
                hold.telemetry.rest()
        return records

    def take_in(self, record: Input) -> Taken:
        """Take in what came from outside: a person's word, an alert.

        It is journalled as an input of the fold, at its place in the telemetry, so that a monitor that starts again
        takes it in there, too. What is no news is not taken in.
        """
        hold, engine = self._hold, self._engine
        if hold is None or self.is_catching_up:
            return Taken(self._absence if self._absence in ("held", "failed") else "behind")
        if not engine.is_news(record):
            if hold.outbox.has_unwritten:
                self._flush()
            earlier = engine.answer_to(record.id) if isinstance(record, Order) else None
            return Taken("unwritten" if hold.outbox.has_unwritten else "known", [] if earlier is None else [earlier])
        if self.has_ended and not isinstance(record, Delivered):
            return Taken("ended")
        placed = replace(record, time=self._clock(), after_record=engine.records)
        with self._lock:
            self._record(hold, [placed])
            derived = self._follow(hold, engine.feed(placed))
        self._flush()
        self._tell_feed([])
        return Taken("unwritten" if hold.outbox.failing else "taken", derived)

    def replace_rules(self, book: RuleBook) -> None:
        """Judge by other rules, from the present on. Those in force stay at work until the others have caught up."""
        hold, self._coming = self._hold, None
        self._give_up_succession()
        if book.sha256 == self.book.sha256:
            return
        if hold is not None and not self.is_catching_up:
            self._coming = book
            return
        with self._lock:
            self.book = book
            if hold is not None:
                hold.rewind()
            self._begin(hold)

    def change_rules(self) -> None:
        """Bring the rules that are to take over closer, and let them, once they are there. Raises `OSError`."""
        hold, book = self._hold, self._coming
        if hold is None or book is None or not self.may_change_rules:
            return
        if self._succession is None:
            self._succession = Succession(self.run, book)
        if self._succession.advance(self._engine.records):
            self._hand_over(hold, self._succession)

    def drain(self, now: float) -> Sequence[Telemetry]:
        """Fold to the present end of the telemetry and deliver: nothing is left. Raises as `poll` does."""
        while self.poll(now) or self.is_catching_up:
            pass
        return ()

    def is_gone(self) -> bool:
        """Whether the run we hold was removed, or removed and made anew, under us."""
        return self._hold is not None and self._hold.is_gone()

    def fail(self) -> None:
        """Let go of a run that can't be driven, and show it as failed."""
        self._absence = "failed" if self._hold is None else "lost"
        self._firing.let_go()
        self.close()

    def close(self, *, gone: bool = False) -> None:
        """Give the run back. Whoever takes it next catches up from the files, unless they are ``gone``."""
        if gone:
            self._firing.end(self._clock())
        self._give_up_succession()
        self.book, self._coming = self._coming or self.book, None
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def view(self) -> RunView:
        """From any thread."""
        with self._lock:
            return self._view()

    def detail(self) -> RunDetail:
        """`view` and what takes more work. From any thread."""
        with self._lock:
            return detail_of(self.run, self._view(), self._engine)

    def _view(self) -> RunView:
        behind = self.is_catching_up
        return view_of(self.run.name, self._state(), self.book, self._engine, self._tally, self._hold, behind=behind)

    def _state(self) -> RunState:
        if self._hold is None and self._absence != "found":
            return "held" if self._absence == "held" else "failed"
        return "ended" if self.has_ended and not self.is_catching_up else "driven"

    def _fold(self, hold: Hold, record: Telemetry) -> None:
        self._lockstep.see(record)
        self._tally.see(record)
        if self._catchup is not None:
            self._catchup.feed(record)
        else:
            self._follow(hold, self._engine.feed(record))

    def _record(self, hold: Hold, records: Sequence[Input | Derived]) -> None:
        """For the journal, and for the rules that are about to take over."""
        hold.outbox.record(records)
        if self._succession is not None:
            self._succession.learn(records)

    def _follow(self, hold: Hold, output: Output) -> list[Derived]:
        self._tally.note(output.journal)
        self._news += output.journal
        self._firing.follow(output.journal, self._engine)
        self._record(hold, output.journal)
        if output.control and self._delivery is not None:
            self._delivery.fresh = True
        return output.journal

    def _take_up(self, hold: Hold, catchup: CatchUp) -> None:
        """The end of catch-up: complete the journal, then control."""
        with self._lock:
            catchup.finish()
        plan = catchup.resume()
        if plan.broken:
            self._log.error("the journal does not follow from the telemetry; it begins anew")
            hold.rewind()
            with self._lock:
                self._begin(hold, anew=True)
            return
        due = hold.outbox.undelivered(self._engine.open_control())
        later = self.has_ended and bool(hold.chain) and not (plan.missing or due)
        self._begin_chain(plan.from_record, plan.missing, later=later)
        with self._lock:
            self._tally.note(catchup.earlier)
            self._tally.note(plan.records)
            self._catchup = hold.chain = None
        said = f"followed from record {plan.from_record} on, now at step {self._tally.course.step}"
        self._announce("followed", said, due)

    def _hand_over(self, hold: Hold, succession: Succession) -> None:
        """The rules in force have had their last word."""
        succession.finish()
        with self._lock:
            self._engine, self.book = succession.engine, succession.book
            self._tally.zeros = Zeros.of(self.book)
        self._succession = self._coming = None
        self._begin_chain(self._engine.records, [], later=self.has_ended)
        self._announce("rules", f"judged by other rules from record {self._engine.records} on")

    def _announce(self, what: str, said: str, due: Iterable[Control] | None = None) -> None:
        """Rules are at work: tell the trainer what is due, and the world."""
        self._flush(due)
        if not self.has_ended:
            self._firing.look(self._engine, self._clock())
        self._feed.publish(self.run.name, [], [Word(what)])
        self._log.info(said)

    def _begin_chain(self, from_record: int, missing: Sequence[Derived], *, later: bool) -> None:
        assert self._delivery is not None
        self._delivery.begin_chain(self.book, self._clock(), from_record, missing, later=later)

    def _give_up_succession(self) -> None:
        if self._succession is not None:
            self._succession.close()
            self._succession = None

    def _tell_feed(self, records: Iterable[Telemetry]) -> None:
        news, self._news = self._news, []
        self._feed.publish(self.run.name, records, news)

    def _deliver(self, now: float) -> None:
        assert self._delivery is not None
        generation = self._engine.generation
        if self._delivery.is_due(generation, now):
            self._delivery.attempt(self._engine.open_control(), generation, now)
        self._delivery.notify(self._engine.notifications.unsent)

    def _flush(self, due: Iterable[Control] | None = None) -> None:
        assert self._delivery is not None
        self._delivery.flush(self._engine.open_control() if due is None else due, self._engine.generation)
