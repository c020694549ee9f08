"""What is put before a person: interventions of rules in mode ``approve``, until somebody answers or they are moot."""

from collections.abc import Iterator
from dataclasses import dataclass

from trainguard_rules.deciding.outcomes import withdrawn
from trainguard_rules.output import Output
from trainguard_rules.watching.watch import Watch
from trainguard_wire.control import Intervention
from trainguard_wire.telemetry import Record


@dataclass
class Request:
    """``first`` tells a rule's own actions from its escalation; ``approved`` says by whom."""

    watch: Watch
    intervention: Intervention
    first: bool
    approved: str = ""

    @property
    def is_asked(self) -> bool:
        """Whether the rule still asks. One that was made while it did may be left of another mode."""
        return self.watch.rule.mode == "approve"


class Requests:
    """The open ones, in the order they were made. Iterating while some are taken out is fine."""

    def __init__(self) -> None:
        self._open: dict[str, Request] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._open.values()))

    @property
    def unanswered(self) -> list[Intervention]:
        return [request.intervention for request in self if not request.approved and request.is_asked]

    def add(self, request: Request) -> None:
        self._open[request.intervention.id] = request

    def find(self, intervention: str) -> Request | None:
        return self._open.get(intervention)

    def take(self, intervention: str) -> Request | None:
        """Take it out; None where there is none of this id."""
        return self._open.pop(intervention, None)

    def has_asked(self, watch: Watch) -> bool:
        return any(request.watch is watch for request in self._open.values())

    def withdraw(self, request: Request, record: Record, reason: str, output: Output, *, denied: bool = False) -> None:
        """It comes to nothing. What a person has ``denied`` is not asked for again in this incident or trial."""
        del self._open[request.intervention.id]
        watch = request.watch
        watch.verdict = None
        moot = denied or watch.state == "inactive"
        if moot and watch.trial is not None and watch.trial.remedy == request.intervention.id:
            watch.begin_trial(None)
        if not denied:
            watch.retry(request.intervention.id)
        output.journal.extend(withdrawn(record, request.intervention, reason))
