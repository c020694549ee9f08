"""Taking a journal up again: what is in it already, and what is missing.

The journal of a run is a sequence of *chains*. A chain begins with an `Opened` record and holds what one
rule book derives from the telemetry after record ``from_record``; a monitor that is started again with the
same rules goes on with the chain, under another `Opened` that says the same. So what a chain holds is always
a prefix of what the same fold derives again, and the rest is what a monitor that was killed could not write.

Other rules begin another chain at the present end of the telemetry: what they would have decided in the past
is no part of the story. The exception is an intervention of the near past that is still due and will be
carried out now: the chain begins early enough to tell of it. A chain that is *not* a prefix (telemetry was
lost, or another version derives otherwise) is left as it is, and a new one begins.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trainguard_wire.codec import CodecError, decode_journal, encode
from trainguard_wire.journal import Approval, Decision, Derived, Opened
from trainguard_wire.rundir import RunDirectory
from trainguard_wire.segments import SegmentReader


class Numbered(NamedTuple):
    """A derived record, and the number of the telemetry record it follows from (the first is 1).

    What follows from a person's answer counts to the telemetry record after it.
    """

    number: int
    record: Derived


class Chain(NamedTuple):
    """The last chain of a journal: its derived records, as the lines that were read, and what people answered."""

    rules_sha256: str
    from_record: int
    lines: list[bytes]
    approvals: tuple[Approval, ...] = ()


class Resumption(NamedTuple):
    """How to go on: the chain's ``from_record``, what belongs to it, and how much of that is written already.

    ``broken``: there was a chain of the same rules, but the telemetry does not derive what it holds.
    """

    from_record: int
    records: list[Derived]
    written: int = 0
    broken: bool = False

    @property
    def missing(self) -> list[Derived]:
        return self.records[self.written :]


def last_chain(run: RunDirectory) -> Chain | None:
    """The chain a run's journal ends with; None for a journal without any. Raises `OSError`.

    A line written twice in a row is one line: a disk that was full just before the newline makes them.
    """
    chain: Chain | None = None
    for line in _lines(run):
        try:
            record = decode_journal(line)
        except CodecError:
            continue
        if isinstance(record, Opened):
            if chain is None or chain[:2] != (record.rules_sha256, record.from_record):
                chain = Chain(record.rules_sha256, record.from_record, [])
        elif isinstance(record, Approval):
            if chain is not None:
                chain = chain._replace(approvals=(*chain.approvals, record))
        elif chain is not None and chain.lines[-1:] != [line]:
            chain.lines.append(line)
    return chain


def resume(
    chain: Chain | None, rules_sha256: str, derived: Sequence[Numbered], end: int, due: Iterable[str] = ()
) -> Resumption:
    """Lay what was ``derived`` from the telemetry, up to its record ``end``, beside the ``chain`` in the journal.

    ``due`` names the interventions that are to be delivered now.
    """
    if chain is None:
        return Resumption(0, _after(0, derived))
    if chain.rules_sha256 != rules_sha256:
        return _begin(derived, end, due)
    records = _after(chain.from_record, derived)
    written = len(chain.lines)
    if chain.from_record <= end and chain.lines == [encode(record)[:-1] for record in records[:written]]:
        return Resumption(chain.from_record, records, written)
    return _begin(derived, end, due)._replace(broken=True)


def _begin(derived: Sequence[Numbered], end: int, due: Iterable[str]) -> Resumption:
    wanted = set(due)
    start = min((number - 1 for number, record in derived if _decided(record) in wanted), default=end)
    return Resumption(start, _after(start, derived))


def _decided(record: Derived) -> str | None:
    return record.intervention if isinstance(record, Decision) else None


def _after(from_record: int, derived: Sequence[Numbered]) -> list[Derived]:
    return [record for number, record in derived if number > from_record]


def _lines(run: RunDirectory) -> Iterable[bytes]:
    reader = SegmentReader(run.journal)
    try:
        while lines := reader.read_lines():
            yield from lines
    finally:
        reader.close()
