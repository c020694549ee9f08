"""A quick look at a run through its files, without a monitor: its newest samples, and all that its journal says.

Nothing is judged here. The states of rules are those that the last monitor wrote down, and stay what they were where
no monitor looks any more. Where other rules took over, those that went on are known by their texts; of what else was
firing under the rules before, nobody will ever write that it is over.

Only the end of the telemetry is read, so that a look costs the same however long the run is; a second look reads what
is new. Nothing is written, and no lease is touched.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainguard_monitor.numbers import number
from trainguard_monitor.recorded.chronicle import as_json
from trainguard_monitor.recorded.takeovers import Takeovers
from trainguard_monitor.recorded.texts import names_of
from trainguard_monitor.views.course import Course, goodbye_as_json
from trainguard_monitor.views.tally import STATUSES
from trainguard_wire import (
    Approval,
    CodecError,
    Decision,
    Hello,
    Journal,
    Opened,
    Outcome,
    RunDirectory,
    RunDirectoryError,
    Sample,
    SegmentReader,
    Telemetry,
    Transition,
    decode_journal,
    decode_telemetry,
)
from trainguard_wire.segments import Position, segment_numbers, segment_path

TAIL_BYTES = 256 * 1024


class Glance:
    """What the monitor's ``/api/v1/runs`` has of a run, as far as its files say it. Not for two threads.

    ``state`` is ``open`` until the run ended in order; whether there is a trainer, only the age of its last sample
    tells. A run that can't be read is ``failed``, and ``error`` says why. Of the ``signals`` there are those that the
    newest samples have.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._telemetry_at: Position | None = None
        self._journal_at: Position | None = None
        self._course = Course()
        self._generation = 0
        self._signals: dict[str, float] = {}
        self._rules: dict[str, str] = {}
        self._takeovers = Takeovers()
        self._decisions: Counter[str] = Counter()
        self._actions: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        self._last_decision: Decision | None = None
        self._requests: dict[str, None] = {}

    def look(self) -> dict[str, Any]:
        """As of now."""
        try:
            self.run.read_info()
            self._catch_up()
        except (RunDirectoryError, OSError) as error:
            return self._shown("failed") | {"error": str(error)}
        return self._shown("ended" if self._course.ended else "open")

    def _shown(self, state: str) -> dict[str, Any]:
        opened = self._takeovers.newest
        if opened is not None and self._takeovers.carried:
            for rule in self._takeovers.ended(names_of(opened)):
                del self._rules[rule]
        return {
            "run": self.run.name,
            "state": state,
            "step": self._course.step,
            "epoch": self._course.epoch,
            "generation": self._generation,
            "last_sample": self._course.last_sample,
            "last_record": self._course.last_record,
            "paused_since": self._course.paused_since,
            "goodbye": goodbye_as_json(self._course.goodbye),
            "rules_sha256": "" if opened is None else opened.rules_sha256,
            "signals": {name: number(value) for name, value in sorted(self._signals.items())},
            "firing": [rule for rule, state in self._rules.items() if state == "firing"],
            "pending": [rule for rule, state in self._rules.items() if state == "pending"],
            "decisions": dict(self._decisions),
            "actions": dict(self._actions),
            "last_decision": None if self._last_decision is None else as_json(self._last_decision),
            "waiting": list(self._requests),
        }

    def _catch_up(self) -> None:
        if self._telemetry_at is None:
            self._telemetry_at = _near_the_end(self.run.telemetry)
        self._telemetry_at, lines = _read(self.run.telemetry, self._telemetry_at)
        for line in lines:
            try:
                self._see(decode_telemetry(line))
            except CodecError:
                continue  # the first may be half a line
        self._journal_at, lines = _read(self.run.journal, self._journal_at)
        for line in lines:
            try:
                self._note(decode_journal(line))
            except CodecError:
                continue

    def _see(self, record: Telemetry) -> None:
        self._course.see(record)
        self._generation = max(record.generation, self._generation)
        match record:
            case Hello():
                self._signals = {}
            case Sample():
                self._signals |= record.all_values()

    def _note(self, record: Journal) -> None:
        match record:
            case Opened():
                active = [rule for rule, state in self._rules.items() if state != "inactive"]
                self._takeovers.opened(record, active, self._course.step)
            case Transition():
                self._rules[record.rule] = record.after
                self._takeovers.heard(record.rule)
            case Decision():
                self._decisions[record.verdict] += 1
                self._last_decision = record
                if record.verdict == "await_approval" and record.intervention is not None:
                    self._requests[record.intervention] = None
            case Approval():
                self._requests.pop(record.intervention, None)
            case Outcome():
                self._actions[record.status] += 1
                self._requests.pop(record.intervention, None)


def _near_the_end(directory: Path) -> Position | None:
    """A place `TAIL_BYTES` before the end, or the beginning; None where there is nothing yet."""
    left, position = TAIL_BYTES, None
    for segment in reversed(segment_numbers(directory)):
        size = segment_path(directory, segment).stat().st_size
        position = Position(segment, max(0, size - left))
        left -= size
        if left <= 0:
            break
    return position


def _read(directory: Path, position: Position | None) -> tuple[Position | None, Iterable[bytes]]:
    """What came after a place, and the place that is reached with it. Raises `OSError`."""
    reader, lines = SegmentReader(directory), []
    try:
        if position is None or reader.seek(position):
            while some := reader.read_lines():
                lines += some
        return reader.tell() or position, lines
    finally:
        reader.close()
