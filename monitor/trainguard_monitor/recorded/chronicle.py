"""What was decided in a run and what came of it, put together from its journal.

The journal tells of a decision, of the outcome of each of its actions and of whether it helped in lines that lie
far apart. Here they are one thing. As `history`, this is read in the thread of whoever asks and goes on from
where it was; it holds what is newest.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trainguard_monitor.recorded.story import told
from trainguard_wire import Approval, CodecError, Decision, Outcome, RunDirectory, SegmentReader, Verification
from trainguard_wire.codec import decode_journal
from trainguard_wire.journal import Journal
from trainguard_wire.segments import Position

KEPT = 10_000


class Chronicle:
    """The journal of one run, the newest records of it. Not for two threads."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.records: deque[Journal] = deque(maxlen=KEPT)
        self._position: Position | None = None

    def catch_up(self) -> None:
        """Read what came since the last call. Raises `OSError`."""
        reader = SegmentReader(self.run.journal)
        try:
            if self._position is not None and not reader.seek(self._position):
                return
            while lines := reader.read_lines():
                self._position = reader.tell()
                self._take_in(lines)
        finally:
            reader.close()

    def timeline(self, kinds: Iterable[str], first: int, last: int, most: int) -> list[dict[str, Any]]:
        """The newest ``most`` records of these types (all if there are none) in a range of steps, oldest first."""
        wanted = set(kinds)
        found: list[dict[str, Any]] = []
        for record in reversed(self.records):
            if len(found) == most:
                break
            step = getattr(record, "step", None)
            if (not wanted or type_of(record) in wanted) and (step is None or first <= step <= last):
                found.append(as_json(record))
        return found[::-1]

    def interventions(self, most: int) -> list[dict[str, Any]]:
        """The newest ``most`` decisions, oldest first, each with the outcomes of its actions and whether it helped.

        ``asked``: how often in an incident its rule has asked a person since the last answer, 0 where it does not ask.
        ``asked_again``: it did so once more.
        """
        decisions: list[dict[str, Any]] = []
        actions: dict[str, dict[str, Any]] = {}
        by_id: dict[str, dict[str, Any]] = {}
        unanswered: dict[tuple[Any, ...], dict[str, Any]] = {}
        for record in self.records:
            match record:
                case Decision():
                    shown = _decision(record)
                    earlier = by_id.get(record.intervention or "")
                    if earlier is not None and earlier["verdict"] == record.verdict:
                        continue  # two chains may tell of one intervention
                    if earlier is not None:  # it was approved
                        earlier["actions"] = [action | {"status": None} for action in earlier["actions"]]
                    if record.verdict == "await_approval":
                        _ask(shown, unanswered)
                    decisions.append(shown)
                    if record.intervention is not None:
                        by_id[record.intervention] = shown
                        actions.update((action["id"], action) for action in shown["actions"])
                case Outcome() if record.action in actions:
                    actions[record.action] |= _outcome(record)
                case Verification() if record.intervention in by_id:
                    by_id[record.intervention]["verification"] = _without_type(record)
                case Approval() if record.intervention in by_id:
                    asked = by_id[record.intervention]
                    asked["approval"] = _without_type(record)
                    unanswered.pop(_wanted(asked), None)
        return decisions[-most:]

    def _take_in(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                record = decode_journal(line)
            except CodecError:
                continue
            if not (self.records and self.records[-1] == record):  # a full disk makes doubles
                self.records.append(record)


def type_of(record: Journal) -> str:
    """``decision``, ``outcome`` and so on."""
    return str(type(record).__struct_config__.tag)


def as_json(record: Journal) -> dict[str, Any]:
    """A record as it stands in the journal, and ``text``: the same in words, null where there is nothing to say."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain | {"text": told(record)}


def _decision(record: Decision) -> dict[str, Any]:
    waits = record.intervention is not None
    return {
        "id": record.intervention,
        "rule": record.rule,
        "step": record.step,
        "generation": record.generation,
        "time": record.time,
        "verdict": record.verdict,
        "reason": record.reason,
        "summary": record.summary,
        "value": record.value,
        "onset": record.onset,
        "text": told(record),
        "actions": [
            {"id": action.id, "kind": action.kind, "params": action.params, "status": "waiting" if waits else None}
            for action in record.actions
        ],
        "asked": 0,
        "asked_again": False,
        "approval": None,
        "verification": None,
    }


def _outcome(record: Outcome) -> dict[str, Any]:
    return {
        "status": record.status,
        "step": record.step,
        "generation": record.generation,
        "time": record.time,
        "before": record.before,
        "after": record.after,
        "checkpoint": record.checkpoint,
        "reason": record.reason,
        "text": told(record),
    }


def _wanted(request: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a request has in common with those that are made when it has expired."""
    return request["rule"], request["generation"], request["onset"], *(action["kind"] for action in request["actions"])


def _ask(request: dict[str, Any], unanswered: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    before = unanswered.get(_wanted(request))
    if before is not None:
        before["asked_again"] = True
    request["asked"] = 1 if before is None else before["asked"] + 1
    unanswered[_wanted(request)] = request


def _without_type(record: Journal) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    del plain["type"]
    return plain
