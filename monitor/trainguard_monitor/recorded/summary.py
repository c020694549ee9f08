"""What happened to the runs of one session, for the line printed at its end."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trainguard_monitor.numbers import plural
from trainguard_monitor.recorded.story import read_journal
from trainguard_wire import Decision, Outcome, RunDirectory, Transition
from trainguard_wire.rundir import runs_in


class Summary(NamedTuple):
    """Of one run: interventions decided, and actions by what became of them.

    ``asked``: how often a person was; ``observed``: how often rules in mode ``observe`` would have acted; ``fired``:
    the rules that did, in the order in which they first did.
    """

    run: str
    interventions: int
    applied: int
    not_applied: int
    asked: int = 0
    observed: int = 0
    fired: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.interventions:
            counts = (("asked", self.asked), ("would have acted", self.observed))
            found = [f"{what} {count} {plural(count, 'time')}" for what, count in counts if count]
            if not found:
                found = [f"{rule} fired" for rule in self.fired] or ["no rule fired"]
            return f"{self.run}: {', '.join(['no interventions', *found])}"
        acted = f"{self.interventions} {plural(self.interventions, 'intervention')}"
        text = f"{self.run}: {acted}, {self.applied} {plural(self.applied, 'action')} applied"
        return f"{text}, {self.not_applied} not applied" if self.not_applied else text


class Session:
    """Knows, from its beginning on, which runs a trainer took up."""

    def __init__(self, directory: Path, started: float) -> None:
        self._directory = directory
        self._started = started
        self._before = dict(self._introductions())

    def summaries(self) -> list[Summary]:
        """One for each run in which a trainer introduced itself since the beginning."""
        return [
            _summarise(RunDirectory(path), self._started)
            for path, introduced in self._introductions()
            if self._before.get(path) != introduced
        ]

    def _introductions(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for run in runs_in(self._directory):
            with suppress(FileNotFoundError):  # it was removed while we looked
                found = run.info_file.stat()
                yield run.path, (found.st_ino, found.st_mtime_ns)


def _summarise(run: RunDirectory, since: float) -> Summary:
    interventions = applied = not_applied = asked = observed = 0
    fired: dict[str, None] = {}
    for record in read_journal(run):
        match record:
            case Transition(after="firing") if record.time >= since:
                fired[record.rule] = None
            case Decision(verdict="act") if record.time >= since:
                interventions += 1
            case Decision(verdict="await_approval") if record.time >= since:
                asked += 1
            case Decision(verdict="observe") if record.time >= since:
                observed += 1
            case Outcome() if record.time >= since and record.status != "withdrawn":
                applied += record.status == "applied"
                not_applied += record.status != "applied"
    return Summary(run.name, interventions, applied, not_applied, asked, observed, tuple(fired))
