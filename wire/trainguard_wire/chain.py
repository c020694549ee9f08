"""Taking a journal up again: what is in it already, and what is missing.

The journal of a run is a sequence of *chains*. A chain begins with an `Opened` record and holds what one
rule book derives from the telemetry after record ``from_record``; a monitor that is started again with the
same rules goes on with the chain, under another `Opened` that says the same. So what a chain holds is always
a prefix of what the same fold derives again, and the rest is what a monitor that was killed could not write.

Other rules begin another chain at the present end of the telemetry: what they would have decided in the past
is no part of the story. A chain that is *not* a prefix (telemetry was lost, or another version derives otherwise)
is left as it is, and a new one begins.

Inputs stand in the chain they came in, each with its place in the telemetry.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trainguard_wire.codec import CodecError, decode_journal, encode
from trainguard_wire.journal import Derived, Input, Opened
from trainguard_wire.rundir import RunDirectory
from trainguard_wire.segments import SegmentReader


class Numbered(NamedTuple):
    """A derived record, and the number of the telemetry record it follows from (the first is 1).

    What follows from an input counts to the telemetry record after it.
    """

    number: int
    record: Derived


class Chain(NamedTuple):
    """The last chain of a journal: its records in order, and the derived ones as the lines that were read.

    ``before`` are the records of all chains before it.
    """

    rules_sha256: str
    from_record: int
    records: list[Input | Derived]
    lines: list[bytes]
    before: list[Input | Derived]


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
    last = b""
    for line in _lines(run):
        try:
            record = decode_journal(line)
        except CodecError:
            continue
        if isinstance(record, Opened):
            if chain is None or chain[:2] != (record.rules_sha256, record.from_record):
                before = [] if chain is None else [*chain.before, *chain.records]
                chain = Chain(record.rules_sha256, record.from_record, [], [], before)
        elif chain is not None and line != last:
            chain.records.append(record)
            if isinstance(record, Derived):
                chain.lines.append(line)
        last = line
    return chain


def resume(chain: Chain | None, derived: Sequence[Numbered], end: int) -> Resumption:
    """Lay what was ``derived`` from the telemetry, up to its record ``end``, beside the ``chain`` of the same rules."""
    if chain is None:
        return Resumption(0, _after(0, derived))
    records = _after(chain.from_record, derived)
    written = len(chain.lines)
    if chain.from_record <= end and chain.lines == [encode(record)[:-1] for record in records[:written]]:
        return Resumption(chain.from_record, records, written)
    return Resumption(end, [], broken=True)


def _after(from_record: int, derived: Sequence[Numbered]) -> list[Derived]:
    return [record for number, record in derived if number > from_record]


def _lines(run: RunDirectory) -> Iterable[bytes]:
    reader = SegmentReader(run.journal)
    try:
        while lines := reader.read_lines():
            yield from lines
    finally:
        reader.close()
