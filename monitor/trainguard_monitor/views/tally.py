"""Counts over one run's telemetry and what was derived from it.

They follow from the fold, not from the process: a monitor that is started again counts the same telemetry to
the same numbers, so that Prometheus sees no reset.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, get_args

from trainguard_monitor.views.course import Course
from trainguard_monitor.views.latency import Latencies
from trainguard_rules import RuleBook
from trainguard_wire import (
    Decision,
    Derived,
    Goodbye,
    Heartbeat,
    Hello,
    Outcome,
    Reached,
    Telemetry,
    Verification,
)
from trainguard_wire.journal import OutcomeStatus

STATUSES: tuple[OutcomeStatus, ...] = tuple(status for part in get_args(OutcomeStatus) for status in get_args(part))
_TYPES = {kind: str(kind.__struct_config__.tag) for kind in get_args(Telemetry)}


class Tally:
    """``see`` telemetry and ``note`` derived records; read the attributes.

    ``zeros`` is what its rules may count, ``course`` how far the run has come.
    """

    def __init__(self, book: RuleBook) -> None:
        self.zeros = Zeros.of(book)
        self.received: Counter[str] = Counter()
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.actions: Counter[tuple[str, str]] = Counter()
        self.verifications: Counter[tuple[str, str]] = Counter()
        self.expectations: Counter[tuple[str, str]] = Counter()
        self.latencies = Latencies()
        self.last_decision: Decision | None = None
        self.course = Course()
        self._lost = 0
        self._lost_before = 0

    @property
    def trainer_lost(self) -> int:
        """Records the trainers of this run could not write, over all its processes."""
        return self._lost_before + self._lost

    def see(self, record: Telemetry) -> None:
        self.received[_TYPES[type(record)]] += 1
        self.course.see(record)
        match record:
            case Hello():
                self._lost_before, self._lost = self.trainer_lost, 0
            case Heartbeat() | Goodbye():
                self._lost = record.lost

    def note(self, records: Iterable[Derived]) -> None:
        for record in records:
            match record:
                case Decision():
                    self.decisions[record.rule, record.verdict] += 1
                    self.last_decision = record
                    self.latencies.decided(record)
                case Verification():
                    self.verifications[record.rule, str(record.helped).lower()] += 1
                case Reached():
                    self.expectations[record.rule, str(record.met).lower()] += 1
                case Outcome():
                    self.actions[record.kind, record.status] += 1
                    self.latencies.ended(record)


class Zeros(NamedTuple):
    """Counts of what these rules may come to, before they have: ``increase()`` misses a series' first value."""

    decisions: dict[tuple[str, str], int]
    actions: dict[tuple[str, str], int]
    verifications: dict[tuple[str, str], int]

    @classmethod
    def of(cls, book: RuleBook) -> "Zeros":
        acting = [rule for rule in book.rules if rule.actions]
        kinds = sorted({action.kind for rule in acting for action in (*rule.actions, *rule.escalate)})
        return cls(
            {(rule.name, "act"): 0 for rule in acting},
            {(kind, status): 0 for kind in kinds for status in STATUSES},
            {(rule.name, helped): 0 for rule in acting if rule.verify for helped in ("true", "false")},
        )
