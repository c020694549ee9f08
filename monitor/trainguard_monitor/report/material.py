"""Everything a report tells of a run, read from its directory and bounded, however long the run was.

The samples are read once, into a history that keeps so many points of each signal. Records of other kinds are few; of
heartbeats only the last of each trainer process counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trainguard_monitor.recorded.chronicle import KEPT, Chronicle
from trainguard_monitor.recorded.history import History
from trainguard_monitor.recorded.replay import Side
from trainguard_monitor.recorded.story import read_journal
from trainguard_monitor.recorded.texts import names_of
from trainguard_monitor.report.incidents import Incidents
from trainguard_monitor.views.course import Course
from trainguard_wire import (
    CheckpointSaved,
    CodecError,
    Goodbye,
    Heartbeat,
    Hello,
    Opened,
    Promoted,
    RunDirectory,
    RunInfo,
    SegmentReader,
    Verification,
    decode_telemetry,
)

_SAMPLE = b'{"type":"sample"'


@dataclass
class Process:
    """A trainer process, by what it said first and last. ``last`` is None where it died without a word."""

    hello: Hello
    last: Goodbye | None = None
    lost: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class _File(Struct):
    bytes: int


class Manifest(Struct):
    """What a checkpoint's manifest says, as far as the report has it."""

    step: int
    generation: int
    status: str
    files: dict[str, _File]
    torch: str = ""

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


@dataclass
class Checkpoint:
    """``good_at`` is the step at which it was found good; ``manifest`` is what is on disk of it now."""

    step: int
    generation: int
    seconds: float
    good_at: int | None = None
    manifest: Manifest | None = None


@dataclass
class Material:
    """One run. ``side`` counts what rules did, ``helped`` interventions by rule and whether they helped.

    ``checkpoints`` are by generation and step: after a restart a step may come again.
    """

    run: RunDirectory
    info: RunInfo
    history: History
    decisions: list[dict[str, Any]] = field(default_factory=list)
    incidents: Incidents = field(default_factory=Incidents)
    side: Side = field(default_factory=Side)
    helped: Counter[tuple[str, bool]] = field(default_factory=Counter)
    opened: list[Opened] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    checkpoints: dict[tuple[int, int], Checkpoint] = field(default_factory=dict)
    course: Course = field(default_factory=Course)
    records: int = 0


def read(run: RunDirectory, on_bytes: Callable[[int], None] = lambda _: None) -> Material:
    """The run as of now; ``on_bytes`` is told of every stretch of telemetry. Raises `RunDirectoryError`, `OSError`."""
    material = Material(run, run.read_info(), History(run))
    material.history.catch_up(on_bytes)
    _read_others(material)
    _read_journal(material)
    _read_checkpoints(material)
    return material


def _read_others(material: Material) -> None:
    """What there is beside the samples. Of those that follow each other the last tells how far the run has come."""
    reader, sample = SegmentReader(material.run.telemetry), b""
    try:
        while lines := reader.read_lines():
            material.records += len(lines)
            for line in lines:
                if line.startswith(_SAMPLE):
                    sample = line
                    continue
                _see(material, sample)
                _see(material, line)
                sample = b""
        _see(material, sample)
    finally:
        reader.close()


def _see(material: Material, line: bytes) -> None:
    try:
        record = decode_telemetry(line)
    except CodecError:
        return  # none yet, or torn by a process that died
    material.course.see(record)
    process = material.processes[-1] if material.processes else None
    match record:
        case Hello():
            material.processes.append(Process(record))
        case CheckpointSaved():
            new = Checkpoint(record.step, record.generation, record.seconds)
            material.checkpoints[record.generation, record.step] = new
        case Heartbeat() if process is not None:
            process.lost, process.errors = record.lost, record.errors
        case Goodbye() if process is not None:
            process.last, process.lost = record, record.lost


def _read_journal(material: Material) -> None:
    for record in read_journal(material.run):
        material.side.note([record])
        material.incidents.note(record)
        match record:
            case Opened():
                material.opened.append(record)
            case Promoted():
                _find_good(material, record)
            case Verification():
                material.helped[record.rule, record.helped] += 1
    if material.opened:
        material.incidents.end_others(names_of(material.opened[-1]))
    chronicle = Chronicle(material.run)
    chronicle.catch_up()
    material.decisions = chronicle.interventions(KEPT)


def _find_good(material: Material, record: Promoted) -> None:
    """The newest one of that step. It may have been saved in an earlier generation, which a restore to it ended."""
    of_step = [c for c in material.checkpoints.values() if c.step == record.checkpoint]
    found = max((c for c in of_step if c.generation <= record.generation), key=lambda c: c.generation, default=None)
    if found is not None:
        found.good_at = record.step


def _read_checkpoints(material: Material) -> None:
    """What is on disk now. Those that no record tells of were saved by a process whose record was lost."""
    for manifest in _manifests(material.run.checkpoints):
        new = Checkpoint(manifest.step, manifest.generation, 0.0)
        material.checkpoints.setdefault((manifest.generation, manifest.step), new).manifest = manifest


def _manifests(folder: Path) -> Iterator[Manifest]:
    for path in sorted(folder.glob("step-*/manifest.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # it is being replaced, or damaged: not a good one in any case
