"""What a run measured, from its telemetry: read when somebody asks, kept while they go on asking.

Reading happens in the thread of whoever asks, never in the daemon's loop. A history goes on from where it was, so
a page that is open costs what is new. It holds a bounded number of points of each signal (`columns`), and where in
the files each stretch of steps lies, so that a closer look at a short stretch can be read again, sample for sample.

Steps rise. Where a trainer process went back (it was started again from an older checkpoint), what is later than
that and older in generation has been superseded, and is left out.
"""

from collections.abc import Callable, Collection, Iterable
from itertools import groupby
from typing import Any, NamedTuple

from trainguard_monitor.recorded.columns import Column
from trainguard_wire import CodecError, RunDirectory, Sample, SegmentReader, decode_telemetry
from trainguard_wire.segments import Position, segment_path

LONGEST_STRETCH = 1024 * 1024
MOST_READ_AGAIN = 32  # stretches


class Stretch(NamedTuple):
    """A stretch of telemetry: the bytes it takes in a segment, and the least and the greatest step in it."""

    segment: int
    begin: int
    end: int
    first: int
    last: int

    def joined(self, other: "Stretch") -> "Stretch | None":
        """Both as one; None where they do not adjoin, or would be long."""
        if (self.segment, self.end) != (other.segment, other.begin) or other.end - self.begin > LONGEST_STRETCH:
            return None
        return Stretch(self.segment, self.begin, other.end, min(self.first, other.first), max(self.last, other.last))

    def read(self, run: RunDirectory) -> list[bytes]:
        """The lines. Raises `OSError`."""
        with segment_path(run.telemetry, self.segment).open("rb") as file:
            file.seek(self.begin)
            return file.read(self.end - self.begin).split(b"\n")


class History:
    """The samples of one run. Not for two threads."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.generations: list[tuple[int, int]] = []  # generation, and its first step
        self._columns: dict[str, Column] = {}
        self._stretches: list[Stretch] = []
        self._position: Position | None = None
        self._step = -1

    @property
    def signals(self) -> list[str]:
        return sorted(self._columns)

    @property
    def last_step(self) -> int:
        return max(0, self._step)

    def catch_up(self, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        """Read what came since the last call; ``on_bytes`` is told of every stretch. Raises `OSError`."""
        reader = SegmentReader(self.run.telemetry)
        try:
            if self._position is not None and not reader.seek(self._position):
                return
            while lines := reader.read_lines():
                before, after = self._position, reader.tell()
                assert after is not None
                self._position = after
                begin = before.offset if before is not None and before.segment == after.segment else 0
                samples = samples_in(lines)
                if samples:
                    steps = [sample.step for sample in samples]
                    self._remember(Stretch(after.segment, begin, after.offset, min(steps), max(steps)))
                    self._take_in(samples)
                on_bytes(sum(map(len, lines)) + len(lines))
        finally:
            reader.close()

    def _remember(self, stretch: Stretch) -> None:
        joined = self._stretches[-1].joined(stretch) if self._stretches else None
        if joined is not None:
            self._stretches[-1] = joined
        else:
            self._stretches.append(stretch)

    def read(self, signals: Iterable[str], first: int, last: int, most: int) -> dict[str, Any]:
        """Of each signal no more than ``most`` points from step ``first`` to ``last``; see `columns_as_json`."""
        wanted = [name for name in signals if name in self._columns]
        columns = {name: self._columns[name] for name in wanted}
        coarse = columns_as_json(columns, first, last, most)
        again = [name for name in wanted if _is_too_coarse(coarse[name], most)]
        if again and (closer := self._closer(again, first, last)) is not None:
            coarse |= columns_as_json(closer, first, last, most)
        return coarse

    def _take_in(self, samples: list[Sample]) -> None:
        fresh: list[Sample] = []
        for sample in samples:
            generation = self.generations[-1][0] if self.generations else -1
            if sample.generation > generation:
                if sample.step <= self._step:
                    append(self._columns, fresh)
                    fresh = []
                    self._go_back(sample.step)
                self.generations.append((sample.generation, sample.step))
            elif sample.generation < generation:
                continue  # it speaks of weights that are gone
            self._step = sample.step
            fresh.append(sample)
        append(self._columns, fresh)

    def _go_back(self, step: int) -> None:
        for column in self._columns.values():
            column.cut(step)

    def _closer(self, names: Collection[str], first: int, last: int) -> dict[str, Column] | None:
        """The same steps read again, sample for sample; None where that would be too much."""
        overlapping = [s for s in self._stretches if s.last >= first and s.first <= last]
        if len(overlapping) > MOST_READ_AGAIN:
            return None
        columns: dict[str, Column] = {name: Column(kept=1 << 40) for name in names}
        for stretch in overlapping:
            samples = samples_in(stretch.read(self.run))
            append(columns, [s for s in samples if first <= s.step <= last and self._counts(s)], new=False)
        return columns

    def _counts(self, sample: Sample) -> bool:
        """Whether a sample was not superseded."""
        return all(sample.step < step for generation, step in self.generations if generation > sample.generation)


def append(columns: dict[str, Column], samples: Iterable[Sample], *, new: bool = True) -> None:
    """Append samples to the columns of their signals; ``new``: also of signals that have none yet."""
    for names, alike in groupby(samples, key=lambda sample: tuple(sample.values)):
        together = list(alike)  # nearly always all of them: most samples of a run carry the same signals
        steps = [sample.step for sample in together]
        for name, values in zip(names, zip(*(s.values.values() for s in together), strict=True), strict=True):
            if new or name in columns:
                columns.setdefault(name, Column()).extend(steps, values)
        for sample in together:
            for name, text in sample.nonfinite.items():
                if new or name in columns:
                    columns.setdefault(name, Column()).note_nonfinite(sample.step, text)


def columns_as_json(columns: dict[str, Column], first: int, last: int, most: int) -> dict[str, Any]:
    """By signal: ``step`` and ``value``, as long as each other; ``samples_per_point``; ``nonfinite`` pairs."""
    shown: dict[str, Any] = {}
    for name, column in columns.items():
        points = column.points(first, last, most)
        bad = [pair for pair in column.nonfinite if first <= pair[0] <= last]
        shown[name] = {
            "step": points.steps,
            "value": points.values,
            "samples_per_point": points.per_point,
            "nonfinite": bad[:: -(-len(bad) // most) or 1],
        }
    return shown


def _is_too_coarse(shown: dict[str, Any], most: int) -> bool:
    return bool(shown["samples_per_point"] > 1 and 2 * len(shown["step"]) < most)


def samples_in(lines: Iterable[bytes]) -> list[Sample]:
    """The samples among lines of telemetry. Lines that are no record are passed over: the driver counts them."""
    samples = []
    for line in lines:
        try:
            record = decode_telemetry(line)
        except CodecError:
            continue
        if isinstance(record, Sample):
            samples.append(record)
    return samples
