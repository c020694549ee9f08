"""Counts over one run's telemetry and what was derived from it.

They follow from the fold, not from the process: a monitor that is started again counts the same telemetry to
the same numbers, so that Prometheus sees no reset.
"""

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from trainguard_wire import Decision, Derived, Goodbye, Heartbeat, Hello, Outcome, Sample, Telemetry

_TYPES = {kind: str(kind.__struct_config__.tag) for kind in get_args(Telemetry)}


class Tally:
    """``see`` telemetry and ``note`` derived records; read the attributes."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.actions: Counter[tuple[str, str]] = Counter()
        self.step = 0
        self.last_sample: float | None = None
        self.ended = False
        self._lost = 0
        self._lost_before = 0

    @property
    def trainer_lost(self) -> int:
        """Records the trainers of this run could not write, over all its processes."""
        return self._lost_before + self._lost

    def see(self, record: Telemetry) -> None:
        self.received[_TYPES[type(record)]] += 1
        self.step = record.step
        self.ended = isinstance(record, Goodbye)
        match record:
            case Sample():
                self.last_sample = record.time
            case Hello():
                self._lost_before, self._lost = self.trainer_lost, 0
            case Heartbeat() | Goodbye():
                self._lost = record.lost

    def note(self, records: Iterable[Derived]) -> None:
        for record in records:
            match record:
                case Decision():
                    self.decisions[record.rule, record.verdict] += 1
                case Outcome():
                    self.actions[record.kind, record.status] += 1
