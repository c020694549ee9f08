"""Alertmanager's notices on their way to the rules. Alertmanager repeats itself; an alert that is known is no news."""

from collections.abc import Iterable

from trainguard_rules.watching.watch import Watch
from trainguard_wire.journal import AlertNotice


class Notices:
    """What came in for the alert rules among ``watches``, each alert once."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self.watches = [watch for watch in watches if watch.trigger is not None]
        self._known: set[tuple[str, str]] = set()
        self._closed: set[tuple[str, str]] = set()

    @property
    def calling(self) -> list[Watch]:
        """The rules with actions that an alert has fired and that have not answered it."""
        return [w for w in self.watches if w.trigger is not None and w.trigger.waiting and w.rule.actions]

    def is_news(self, notice: AlertNotice) -> bool:
        """Whether a rule waits for it, and it was not taken in before. The end of what never began is no news."""
        key = (notice.fingerprint, notice.starts_at)
        if notice.status == "resolved":
            return key in self._known and key not in self._closed
        return key not in self._known and any(w.trigger.matches(notice) for w in self.watches if w.trigger is not None)

    def take(self, notice: AlertNotice) -> list[Watch]:
        """The rules that it concerns, whose triggers now know of it; none where it is no news."""
        if not self.is_news(notice):
            return []
        (self._known if notice.status == "firing" else self._closed).add((notice.fingerprint, notice.starts_at))
        concerned = []
        for watch in self.watches:
            if watch.trigger is not None and watch.trigger.matches(notice):
                watch.trigger.take(notice)
                concerned.append(watch)
        return concerned
