"""What goes out of one run: the journal, control, and word to a trainer in lockstep. What fails is tried again.

Notifications are handed to ``notify``, which sends them, and says later what became of them.
"""

from collections.abc import Callable, Iterable, Sequence

from trainguard_monitor.following.lockstep import Lockstep
from trainguard_monitor.logs import RunLog
from trainguard_rules import RuleBook
from trainguard_rules.deciding.notifications import Notification
from trainguard_wire import Control, Derived, __version__
from trainguard_wire.hold import opened_here
from trainguard_wire.outbox import Outbox

RETRY_WRITE = 0.2


class Delivery:
    """``fresh``: something was decided that the trainer has not been told."""

    def __init__(
        self, outbox: Outbox, lockstep: Lockstep, log: RunLog, notify: Callable[[Notification], None] | None
    ) -> None:
        self.fresh = False
        self._notify, self._notified = notify, set[str]()
        self._outbox, self._lockstep, self._log = outbox, lockstep, log
        self._again_at = 0.0

    def begin_chain(
        self, book: RuleBook, time: float, from_record: int, missing: Sequence[Derived], *, later: bool
    ) -> None:
        """Have the journal say by which rules the run is judged; ``later``: once something follows from it."""
        opened = opened_here(
            time=time,
            version=__version__,
            rules=", ".join(book.sources),
            rules_sha256=book.sha256,
            from_record=from_record,
            mode=book.mode,
        )
        if later:  # or each start would add a line to every run that is over
            self._outbox.head(opened)
        else:
            self._outbox.record([opened, *missing])

    def is_due(self, generation: int, now: float) -> bool:
        """Whether there is anything to write, and it is time to."""
        waits = self._outbox.has_unwritten or self.fresh or self._lockstep.due(generation)
        return bool(waits) and now >= self._again_at

    def attempt(self, due: Iterable[Control], generation: int, now: float) -> None:
        """`flush`, and after a failure not again for a moment."""
        self.flush(due, generation)
        self._again_at = now + RETRY_WRITE if self._outbox.failing else now

    def flush(self, due: Iterable[Control], generation: int) -> None:
        """Write it all. A failure is counted, and logged once."""
        was_failing = self._outbox.failing
        try:
            self._outbox.flush(due, self._told, self._lockstep.due(generation))
        except OSError as error:
            if not was_failing:
                self._log.error(f"can't write, will go on trying: {error}")
        else:
            self._lockstep.told()
            if was_failing:
                self._log.warning("can write again")
        self.fresh = self._outbox.failing

    def notify(self, notifications: Iterable[Notification]) -> None:
        """Hand over what is to be sent, each once, and not before it is on record that it was decided."""
        if self._notify is None or self._outbox.has_unwritten:
            return
        for notification in notifications:
            if notification.id not in self._notified:
                self._notified.add(notification.id)
                self._notify(notification)

    def _told(self, message: Control) -> None:
        kinds = [action.kind for action in getattr(message, "actions", ())]
        self._log.info(f"{message.id}: {', '.join(kinds)}" if kinds else message.id)
