"""Expectations at work: each is reported once, when it is met or when its time is up."""

from trainguard_rules.durations import Moment
from trainguard_rules.expr import compile_program
from trainguard_rules.expr.compile import Learn
from trainguard_rules.rulebook import Expectation
from trainguard_wire.journal import Reached
from trainguard_wire.telemetry import Goodbye, Sample


class Vigil:
    """One expectation, watched from the first sample of a trainer process on."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self._program = compile_program(expectation.when.node)
        self._learners: dict[tuple[frozenset[str], int], Learn] = {}
        self._since: Moment | None = None
        self._done = False

    def look(self, sample: Sample, values: dict[str, float], now: Moment) -> Reached | None:
        """Take in a sample; the report, if there is one to make."""
        if self._done:
            return None
        self._since = since = self._since or now
        program = self._program
        fresh = frozenset((*sample.values, *sample.nonfinite))
        met = None
        if program.needed <= values.keys() and (program.signals & fresh or program.wants_every_sample):
            met = program.evaluate(values, *now.clock)
            self._learner(fresh, values)(values, *now.clock)
        within = self.expectation.within
        if met:
            return self._report(sample, values, now, met=True, reason=self.expectation.when.source)
        if within.passed(since, now):
            return self._report(sample, values, now, met=False, reason=f"not within {within}{self._unseen(values)}")
        return None

    def end(self, goodbye: Goodbye, values: dict[str, float], now: Moment) -> Reached | None:
        """The run is over."""
        if self._done:
            return None
        reason = f"the run ended before its {self.expectation.within} were over{self._unseen(values)}"
        return self._report(goodbye, values, now, met=False, reason=reason)

    def reset(self) -> None:
        self._program.reset()
        self._since, self._done = None, False

    def _learner(self, fresh: frozenset[str], values: dict[str, float]) -> Learn:
        key = (fresh & self._program.signals, len(values.keys() & self._program.signals))
        if key not in self._learners:
            self._learners[key] = self._program.learner(fresh, values.keys(), frozen=False)
        return self._learners[key]

    def _unseen(self, values: dict[str, float]) -> str:
        unseen = sorted(self._program.needed - values.keys())
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
            value=self._program.reading(values, now),
            reason=reason,
        )
