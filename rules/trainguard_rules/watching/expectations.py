"""Expectations at work: each is reported once, when it is met or when its time is up."""

from collections.abc import Iterable, Iterator
from typing import Any

from trainguard_rules.durations import Moment
from trainguard_rules.expr import compile_program
from trainguard_rules.expr.compile import Learn
from trainguard_rules.rulebook import Expectation
from trainguard_wire.journal import Reached
from trainguard_wire.telemetry import Goodbye, Sample

NONE = frozenset[str]()


class Vigil:
    """One expectation, watched from the first sample of a trainer process on."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self.program = compile_program(expectation.when.node)
        self._learners: dict[tuple[frozenset[str], frozenset[str]], tuple[Learn, Learn]] = {}
        self._since: Moment | None = None
        self._done = False

    def look(self, sample: Sample, values: dict[str, float], now: Moment) -> Reached | None:
        """Take in a sample; the report, if there is one to make."""
        if self._done:
            return None
        self._since = since = self._since or now
        program = self.program
        fresh = program.signals.intersection((*sample.values, *sample.nonfinite))
        note, learn = self._functions(fresh, program.signals.intersection(values))
        note(values, *now.clock)
        met = None
        if program.needed <= values.keys() and (fresh or program.wants_every_sample):
            met = program.evaluate(values, *now.clock)
            learn(values, *now.clock)
        within = self.expectation.within
        if met:
            return self._report(sample, values, now, met=True, reason=self.expectation.when.source)
        if within.passed(since, now):
            return self._report(sample, values, now, met=False, reason=f"not within {within}{self._unseen(values)}")
        return None

    def end(self, goodbye: Goodbye, values: dict[str, float], now: Moment) -> Reached | None:
        """The run is over."""
        if self._done or self._since is None:
            return None
        reason = f"the run ended before its {self.expectation.within} were over{self._unseen(values)}"
        return self._report(goodbye, values, now, met=False, reason=reason)

    def reset(self, step: int) -> None:
        """As on the first day, with the run beginning after ``step``."""
        self.program.reset(step)
        self._since, self._done = None, False

    def _functions(self, fresh: frozenset[str], known: frozenset[str]) -> tuple[Learn, Learn]:
        """To note which signals are fresh, before anything is evaluated; and to learn their values, after it."""
        functions = self._learners.get((fresh, known))
        if functions is None:
            program = self.program
            note = program.function([*program.noting(fresh), "return"], NONE)
            learn = program.function([*program.learning(fresh, known, frozen=False), "return"], known)
            functions = self._learners[fresh, known] = note, learn
        return functions

    def _unseen(self, values: dict[str, float]) -> str:
        unseen = sorted(self.program.needed - values.keys())
        return f": {', '.join(unseen)} was never measured" if unseen else ""

    def _report(
        self, record: Sample | Goodbye, values: dict[str, float], now: Moment, *, met: bool, reason: str
    ) -> Reached:
        self._done = True
        return Reached(
            step=record.step,
            generation=record.generation,
            time=record.time,
            rule=self.expectation.name,
            met=met,
            value=self.program.reading(values, now),
            reason=reason,
        )


class Vigils:
    """All expectations of a run."""

    def __init__(self, expectations: Iterable[Expectation]) -> None:
        self.all = [Vigil(expectation) for expectation in expectations]

    def look(self, sample: Sample, values: dict[str, float], now: Moment) -> Iterator[Reached]:
        """Take in a sample; the reports there are to make."""
        return (reached for vigil in self.all if (reached := vigil.look(sample, values, now)))

    def end(self, goodbye: Goodbye, values: dict[str, float], now: Moment) -> Iterator[Reached]:
        """The run is over. Where no sample came there is nothing to report."""
        return (reached for vigil in self.all if (reached := vigil.end(goodbye, values, now)))

    def reset(self, step: int) -> None:
        """A new trainer process, that begins after ``step``."""
        for vigil in self.all:
            vigil.reset(step)

    def snapshot(self) -> list[Any]:
        return [vigil.program.snapshot() for vigil in self.all]

    def restore(self, snapshot: list[Any], gone: Moment) -> None:
        """Statistics as they were, so long ago. What was reported stays reported, and the time goes on."""
        for vigil, data in zip(self.all, snapshot, strict=True):
            vigil.program.restore(data, gone)
