"""The journal put in order: one incident after the other, each from the first sign to what came of what was done.

Rules fire together, and again, for one and the same fault: what lies within `GAP` steps is one incident. What becomes
of an intervention belongs to the incident that it was decided in, however late it comes. What a person orders while
all is well is an incident of its own, without rules.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from trainguard_monitor.recorded.story import Entry, entry_of
from trainguard_monitor.recorded.takeovers import Takeovers
from trainguard_wire import Decision, Journal, Opened, Outcome, Transition, Verification

GAP = 20
KEPT = 200  # incidents
KEPT_BANDS = 5000
MOST_ENTRIES = 60  # of one incident


@dataclass
class Incident:
    """From step ``first``, the onset, to ``last``. ``firing`` are those of its ``rules`` that still fire.

    ``interventions`` are ids; ``omitted`` counts the entries after the first `MOST_ENTRIES`.
    """

    number: int
    first: int
    last: int
    rules: dict[str, None] = field(default_factory=dict)
    firing: set[str] = field(default_factory=set)
    interventions: dict[str, None] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    omitted: int = 0

    def tell(self, record: Journal) -> None:
        entry = entry_of(record)
        if entry is not None and len(self.entries) < MOST_ENTRIES:
            self.entries.append(entry)
        else:
            self.omitted += entry is not None


class Band(NamedTuple):
    """Steps in which a rule was ``pending`` or ``firing``; ``last`` is None where it still is."""

    rule: str
    state: str
    first: int
    last: int | None


class Incidents:
    """``note`` every record of a journal, in order. ``kept`` are the newest, ``total`` counts all of them."""

    def __init__(self) -> None:
        self.total = 0
        self.kept: deque[Incident] = deque(maxlen=KEPT)
        self._bands: deque[Band] = deque(maxlen=KEPT_BANDS)
        self._active: dict[str, Band] = {}
        self._of: dict[str, Incident] = {}  # by intervention
        self._step = 0
        self._takeovers = Takeovers()

    def note(self, record: Journal) -> None:
        self._step = getattr(record, "step", self._step)
        match record:
            case Opened():
                self._takeovers.opened(record, self._active, self._step)
            case Transition():
                self._changed(record)
            case Decision(intervention=str(known)) if known in self._of and record.verdict != "act":
                pass  # two chains may tell of one intervention
            case Decision():
                self._decided(record)
            case Outcome() | Verification() if record.intervention in self._of:
                self._of[record.intervention].tell(record)

    def end_others(self, rules: Collection[str]) -> None:
        """These are in force. What was active when they took over and is none of them was over then."""
        for rule, step in self._takeovers.ended(rules).items():
            self._bands.append(self._active.pop(rule)._replace(last=step))
            for incident in self.kept:
                incident.firing.discard(rule)

    def bands(self) -> Iterator[Band]:
        """The newest, and those that have no end yet."""
        yield from self._bands
        yield from self._active.values()

    def _changed(self, record: Transition) -> None:
        self._takeovers.heard(record.rule)
        before = self._active.pop(record.rule, None)
        if before is not None:
            self._bands.append(before._replace(last=record.step))
        if record.after != "inactive":
            self._active[record.rule] = Band(record.rule, record.after, record.step, None)
        if record.after == "firing":
            incident = self._at(record.step, record.step if before is None else before.first)
            incident.rules[record.rule] = None
            incident.firing.add(record.rule)
            incident.tell(record)
        elif self.kept and record.rule in self.kept[-1].firing:
            self.kept[-1].firing.discard(record.rule)
            self.kept[-1].last = record.step
            self.kept[-1].tell(record)

    def _decided(self, record: Decision) -> None:
        incident = self._of.get(record.intervention or "") or self._at(record.step, record.step)
        if record.intervention is not None:
            self._of[record.intervention] = incident
            incident.interventions[record.intervention] = None
        incident.last = max(incident.last, record.step)
        incident.tell(record)

    def _at(self, step: int, onset: int) -> Incident:
        """The incident that is under way, or was a moment ago; else a new one."""
        newest = self.kept[-1] if self.kept else None
        if newest is not None and (newest.firing or any(0 <= at - newest.last <= GAP for at in (onset, step))):
            newest.last = max(newest.last, step)
            return newest
        self.total += 1
        self.kept.append(Incident(self.total, onset, step))
        return self.kept[-1]
