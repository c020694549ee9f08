"""Catching up: the fold over what was written before, and what of it the journal lacks.

A monitor that takes a run up, for the first time or again, folds the telemetry from its first record on. What came
from outside meanwhile is an input of the fold: it stands in the journal with its place in the telemetry, and is taken
in there. At the end, what was derived is laid beside the journal's last chain (`trainguard_wire.chain`).

The stretch before that chain was judged by other rules. These rules see it in hindsight: their windows and states
follow the telemetry, but what was decided is what was really decided, and is read from the journal, too. So what a
rule did counts for its cooldown and its limit, and what is in the air is known, whatever else was changed about the
rules meanwhile; and a monitor that is killed and started again knows the same.
"""

from collections import deque
from collections.abc import Iterator
from math import inf

from trainguard_rules.engine import Engine
from trainguard_rules.output import Output
from trainguard_wire.chain import Chain, Numbered, Resumption, resume
from trainguard_wire.journal import Decision, Derived, Input, Promoted
from trainguard_wire.telemetry import Sample, Telemetry

Past = Input | Decision | Promoted  # what hindsight takes from the journal


class CatchUp:
    """Feeds a new ``engine`` under the rules of ``rules_sha256``: `feed` each record, then `finish`, then `resume`.

    ``anew`` begins another chain even though the last one is of the same rules. ``earlier`` is what was derived in
    the chains before the one that goes on.
    """

    def __init__(self, engine: Engine, rules_sha256: str, chain: Chain | None, *, anew: bool = False) -> None:
        self.engine = engine
        self._chain = chain if chain is not None and chain.rules_sha256 == rules_sha256 and not anew else None
        before = [] if chain is None else chain.before if self._chain else [*chain.before, *chain.records]
        self.earlier = [record for record in before if isinstance(record, Derived)]
        self._past = deque(record for record in before if isinstance(record, Past))
        self._inputs: deque[Input] = deque(
            r for r in (self._chain.records if self._chain else ()) if isinstance(r, Input)
        )
        self._hindsight_until = 0 if chain is None else self._chain.from_record if self._chain else inf
        self._derived: list[Numbered] = []

    def learn(self, record: Input | Derived) -> None:
        """Something that other rules decided, or that came in, while this catches up with them."""
        if isinstance(record, Past):
            self._past.append(record)

    def feed(self, record: Telemetry) -> None:
        """Fold in the next record, and before it what came in at its place."""
        if self.engine.records < self._hindsight_until:
            self._look_back()
            self.engine.recall(record, self._decided(record.generation, record.step) if type(record) is Sample else ())
        else:
            self._look_here()
            self._note(self.engine.feed(record), self.engine.records)

    def finish(self) -> None:
        """The telemetry's present end: take in what came there."""
        self._look_here()

    def resume(self) -> Resumption:
        """How the journal goes on."""
        end = self.engine.records
        if self._hindsight_until == inf:
            return Resumption(end, [])
        return resume(self._chain, self._derived, end)

    def _look_back(self) -> None:
        """In hindsight: what came in at this place, each with what was decided on it."""
        engine = self.engine
        while self._past and isinstance(self._past[0], Input) and self._past[0].after_record <= engine.records:
            engine.recall(self._take_input(), self._decided(engine.generation, engine.step))

    def _look_here(self) -> None:
        if self._past:
            self._hindsight_ends()
        records = self.engine.records
        while self._inputs and self._inputs[0].after_record <= records:
            self._note(self.engine.feed(self._inputs.popleft()), records + 1)

    def _hindsight_ends(self) -> None:
        """Whatever is left of the past comes before everything that is decided now."""
        while self._past:
            came = self._take_input() if isinstance(self._past[0], Input) else None
            self.engine.recall(came, self._decided(inf, inf))

    def _take_input(self) -> Input:
        record = self._past.popleft()
        assert isinstance(record, Input)
        return record

    def _decided(self, generation: float, step: float) -> Iterator[Decision | Promoted]:
        """What comes next in the journal, as far as it was decided up to there."""
        while self._past:
            record = self._past[0]
            if isinstance(record, Input) or (record.generation, record.step) > (generation, step):
                return
            self._past.popleft()
            yield record

    def _note(self, output: Output, number: int) -> None:
        self._derived.extend(Numbered(number, derived) for derived in output.journal)
