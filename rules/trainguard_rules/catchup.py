"""Catching up: the fold over what was written before, and what of it the journal lacks.

A monitor that takes a run up, for the first time or again, folds the telemetry from its first record on. What
people answered meanwhile is an input of the fold: it stands in the journal with its place in the telemetry, and is
taken in there. At the end, what was derived is laid beside the journal's last chain (`trainguard_wire.chain`).
"""

from collections import deque
from collections.abc import Iterable

from trainguard_rules.engine import Engine
from trainguard_rules.output import Output
from trainguard_wire.chain import Chain, Numbered, Resumption, resume
from trainguard_wire.telemetry import Telemetry


class CatchUp:
    """Feeds a new ``engine`` under the rules of ``rules_sha256``: `feed` each record, then `finish`, then `resume`."""

    def __init__(self, engine: Engine, rules_sha256: str, chain: Chain | None) -> None:
        self._engine, self._rules_sha256, self._chain = engine, rules_sha256, chain
        ours = chain is not None and chain.rules_sha256 == rules_sha256
        self._answers = deque(chain.approvals if chain is not None and ours else ())
        self._derived: list[Numbered] = []

    def feed(self, record: Telemetry) -> None:
        """Fold in the next record, and before it what was answered at its place."""
        self._take_answers()
        self._note(self._engine.feed(record), self._engine.records)

    def finish(self) -> None:
        """The telemetry's present end: take in what was answered there."""
        self._take_answers()

    def resume(self, due: Iterable[str]) -> Resumption:
        """How the journal goes on. ``due`` names the interventions that are to be delivered now."""
        return resume(self._chain, self._rules_sha256, self._derived, self._engine.records, due)

    def _take_answers(self) -> None:
        records = self._engine.records
        while self._answers and self._answers[0].after_record <= records:
            self._note(self._engine.feed(self._answers.popleft()), records + 1)

    def _note(self, output: Output, number: int) -> None:
        self._derived.extend(Numbered(number, derived) for derived in output.journal)
