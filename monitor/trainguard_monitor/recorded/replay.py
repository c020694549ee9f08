"""What would these rules have done? A recorded run folded again, side by side with what was done then.

The fold is the daemon's own, over the telemetry as it was recorded. Decisions are exact as far as the first
intervention that was not carried out then: from there on the telemetry shows the run as it really went, not as it
would have gone. Memory does not grow with the run: samples are not kept, and of the decisions the first
`KEPT`; the rest are counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trainguard_monitor.recorded.story import read_journal
from trainguard_rules import Engine, RuleBook
from trainguard_wire import (
    Action,
    AlertNotice,
    Approval,
    CodecError,
    Decision,
    Delivered,
    Input,
    Intervention,
    Journal,
    Opened,
    Order,
    Outcome,
    Reached,
    RunDirectory,
    SegmentReader,
    Transition,
    decode_telemetry,
)
from trainguard_wire.segments import segment_numbers, segment_path

KEPT = 10_000
NOTE = (
    "The telemetry shows the run as it really went: after an intervention of either side, the other side's decisions "
    "are about a run that the intervention would have changed."
)

Mode = Literal["act", "observe"]
Key = tuple[int, int, str]


class Deed(NamedTuple):
    """One decision: the verdict, why, and the actions with what became of each (empty where it is not known)."""

    verdict: str
    reason: str
    actions: tuple[Action, ...] = ()
    outcomes: tuple[str, ...] = ()


class Row(NamedTuple):
    """What a rule decided at a step, in the replay and then."""

    generation: int
    step: int
    rule: str
    now: list[Deed]
    then: list[Deed]


@dataclass
class Side:
    """What one set of rules did in the run. ``decisions`` holds the first `KEPT`, ``omitted`` counts the others."""

    decisions: list[Decision] = field(default_factory=list)
    omitted: int = 0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, str] = field(default_factory=dict)
    reached: dict[str, Reached] = field(default_factory=dict)

    def note(self, records: Iterable[Journal]) -> None:
        for record in records:
            match record:
                case Decision():
                    self._decided(record)
                case Transition(after="firing"):
                    self.fired[record.rule] += 1
                case Outcome() if len(self.outcomes) < KEPT:
                    self.outcomes[record.action] = record.status
                case Reached():
                    self.reached[record.rule] = record

    def _decided(self, decision: Decision) -> None:
        self.verdicts[decision.rule, decision.verdict] += 1
        if len(self.decisions) < KEPT:
            self.decisions.append(decision)
        else:
            self.omitted += 1

    def by_key(self) -> dict[Key, list[Deed]]:
        deeds: dict[Key, list[Deed]] = {}
        for d in self.decisions:
            outcomes = tuple(self.outcomes.get(action.id, "") for action in d.actions)
            deeds.setdefault((d.generation, d.step, d.rule), []).append(Deed(d.verdict, d.reason, d.actions, outcomes))
        return deeds

    def counts(self) -> dict[str, dict[str, int]]:
        """By rule: how often it fired, and each verdict."""
        rules = sorted({*self.fired, *(rule for rule, _ in self.verdicts)})
        return {
            rule: {"fired": self.fired[rule], **{v: n for (r, v), n in sorted(self.verdicts.items()) if r == rule}}
            for rule in rules
        }


@dataclass
class Replay:
    """The outcome of a replay: ``now`` of these rules, ``then`` of the monitors that were there."""

    run: str
    mode: Mode
    rules: tuple[str, ...]
    rules_then: tuple[str, ...] = ()
    same_rules: bool = False
    records: int = 0
    step: int = 0
    generation: int = 0
    corrupt: int = 0
    now: Side = field(default_factory=Side)
    then: Side = field(default_factory=Side)

    @property
    def omitted(self) -> int:
        """Decisions that are counted but in no row."""
        shown = sum(len(row.now) + len(row.then) for row in self.rows())
        return sum(self.now.verdicts.values()) + sum(self.then.verdicts.values()) - shown

    def rows(self) -> list[Row]:
        """Side by side, in the order of the run; only as far as both sides are complete."""
        now, then = self.now.by_key(), self.then.by_key()
        ends = [max(deeds)[:2] for side, deeds in ((self.now, now), (self.then, then)) if side.omitted]
        keys = sorted(key for key in {*now, *then} if all(key[:2] <= end for end in ends))
        return [Row(*key, now.get(key, []), then.get(key, [])) for key in keys]

    def as_dict(self) -> dict[str, Any]:
        """For JSON. ``replayed`` is what these rules decide, ``recorded`` what was decided then."""
        return {
            "run": self.run,
            "mode": self.mode,
            "rules": self.rules,
            "rules_then": self.rules_then,
            "same_rules": self.same_rules,
            "records": self.records,
            "corrupt": self.corrupt,
            "last_step": self.step,
            "last_generation": self.generation,
            "note": NOTE,
            "counts": {"replayed": self.now.counts(), "recorded": self.then.counts()},
            "expectations": {"replayed": _reached(self.now.reached), "recorded": _reached(self.then.reached)},
            "decisions": [
                {
                    "step": row.step,
                    "generation": row.generation,
                    "rule": row.rule,
                    "replayed": [_plain(deed) for deed in row.now],
                    "recorded": [_plain(deed) for deed in row.then],
                }
                for row in self.rows()
            ],
            "decisions_omitted": self.omitted,
        }


def replay(run: RunDirectory, book: RuleBook, mode: Mode, on_bytes: Callable[[int], None] = lambda _: None) -> Replay:
    """Fold the telemetry of a run under these rules. ``on_bytes`` is told of every stretch that was read.

    In mode ``observe`` no rule acts: each says when it would have. In mode ``act`` rules act as their files have
    it, and an intervention that the trainer never got stays in flight until it expires, so that others hold.
    Raises `OSError` where the files can't be read.
    """
    result = Replay(run=run.name, mode=mode, rules=book.sources)
    inputs = _read_then(run, book, result)
    engine = Engine(book if mode == "act" else book.with_mode("observe"))
    feed, note = engine.feed, result.now.note
    due = next(inputs, None)

    def take_in() -> None:
        """What came in at this place, before the record that follows."""
        nonlocal due
        while due is not None and due.after_record <= engine.records:
            note(feed(due).journal)
            due = next(inputs, None)

    for lines in _chunks(run):
        for line in lines:
            try:
                record = decode_telemetry(line)
            except CodecError:
                result.corrupt += 1
                continue
            if due is not None:
                take_in()
            if journal := feed(record).journal:
                note(journal)
            result.step = record.step
        on_bytes(sum(map(len, lines)) + len(lines))
    take_in()
    result.records, result.generation = engine.records, engine.generation
    return result


def telemetry_bytes(run: RunDirectory) -> int:
    """How much there is to read. Raises `OSError`."""
    return sum(segment_path(run.telemetry, n).stat().st_size for n in segment_numbers(run.telemetry))


def _chunks(run: RunDirectory) -> Iterator[list[bytes]]:
    reader = SegmentReader(run.telemetry)
    try:
        while lines := reader.read_lines():
            yield lines
    finally:
        reader.close()


def _read_then(run: RunDirectory, book: RuleBook, result: Replay) -> Iterator[Input]:
    """What was decided and done then, from the journal and control; gives what came in from outside, in order."""
    opened, journalled = dict[str, Opened](), set[str]()
    inputs: list[Input] = []
    for record in read_journal(run):
        match record:
            case Approval() | Order() | AlertNotice() | Delivered():
                inputs.append(record)
            case Opened():
                opened[record.rules_sha256] = record
            case Decision(intervention=str(identity), verdict="act"):
                if identity not in journalled:  # two chains may tell of one intervention
                    journalled.add(identity)
                    result.then.note([record])
            case _:
                result.then.note([record])
    for intervention in _interventions(run):
        if intervention.id not in journalled:
            result.then.note([_from_control(intervention)])
    result.rules_then = tuple(dict.fromkeys(record.rules for record in opened.values()))
    result.same_rules = any(book.with_mode(record.mode).sha256 == sha256 for sha256, record in opened.items())
    return iter(sorted(inputs, key=lambda record: record.after_record))


def _interventions(run: RunDirectory) -> Iterator[Intervention]:
    reader = run.read_control()
    try:
        while messages := reader.read():
            yield from (message for message in messages if isinstance(message, Intervention))
    finally:
        reader.close()


def _from_control(intervention: Intervention) -> Decision:
    """The trainer was told, but the journal is lost."""
    return Decision(
        step=intervention.step,
        generation=intervention.generation,
        time=0.0,
        rule=intervention.rule,
        verdict="act",
        reason=intervention.reason,
        intervention=intervention.id,
        actions=intervention.actions,
    )


def _plain(deed: Deed) -> dict[str, Any]:
    actions = [
        {"id": action.id, "kind": action.kind, "params": action.params, "outcome": outcome or None}
        for action, outcome in zip(deed.actions, deed.outcomes, strict=True)
    ]
    return {"verdict": deed.verdict, "reason": deed.reason, "actions": actions}


def _reached(reached: Mapping[str, Reached]) -> dict[str, dict[str, Any]]:
    return {
        name: {"met": record.met, "step": record.step, "value": record.value, "reason": record.reason}
        for name, record in sorted(reached.items())
    }
