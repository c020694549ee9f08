"""Alertmanager's notices on their way to the rules. Alertmanager repeats itself; an alert that is known is no news.

Known are those that fire, and the last `MOST_OVER` that are over: a notice of these may still be on its way.
"""

from collections.abc import Iterable

from trainguard_rules.watching.watch import Watch
from trainguard_wire.journal import AlertNotice

MOST_OVER = 1000


class Notices:
    """What came in for the alert rules among ``watches``, each alert once."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self.watches = [watch for watch in watches if watch.trigger is not None]
        self._firing: dict[str, str] = {}  # by fingerprint: when it began
        self._over: dict[tuple[str, str], None] = {}  # fingerprint and beginning, the oldest first

    @property
    def calling(self) -> list[Watch]:
        """The rules with actions that an alert has fired and that have not answered it."""
        return [w for w in self.watches if w.trigger is not None and w.trigger.waiting and w.rule.actions]

    def is_news(self, notice: AlertNotice) -> bool:
        """Whether a rule waits for it, and it was not taken in before. The end of what never began is no news."""
        is_firing = self._firing.get(notice.fingerprint) == notice.starts_at
        if notice.status == "resolved" or is_firing:
            return is_firing and notice.status == "resolved"
        key = (notice.fingerprint, notice.starts_at)
        return key not in self._over and any(w.trigger.matches(notice) for w in self.watches if w.trigger is not None)

    def take(self, notice: AlertNotice) -> list[Watch]:
        """The rules that it concerns, whose triggers now know of it; none where it is no news."""
        if not self.is_news(notice):
            return []
        before = self._firing.pop(notice.fingerprint, None)
        if before is not None:  # it is over, or has begun anew
            self._over[notice.fingerprint, before] = None
            self._over = dict(list(self._over.items())[-MOST_OVER:])
        if notice.status == "firing":
            self._firing[notice.fingerprint] = notice.starts_at
        concerned = []
        for watch in self.watches:
            if watch.trigger is not None and watch.trigger.matches(notice):
                watch.trigger.take(notice)
                concerned.append(watch)
        return concerned
