"""The run directory: where everything of one run lies.

::

    <runs>/<run>/
      run.json              who: run id, schema, process, what is offered
      trainer.lock          the trainer's lease
      monitor.lock          the monitor's lease
      telemetry/*.jsonl     trainer writes
      control/*.jsonl       monitor writes
      journal/*.jsonl       monitor writes
      checkpoints/          trainer writes
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trainguard_wire.codec import decode_control, decode_journal, decode_telemetry
from trainguard_wire.control import Control
from trainguard_wire.journal import Journal
from trainguard_wire.segments import RecordReader, SegmentWriter, segment_numbers, segment_path
from trainguard_wire.telemetry import KnobInfo, Telemetry

SCHEMA = 1
INFO_NAME = "run.json"


class RunDirectoryError(ValueError):
    """A directory that is not a run, or of a schema this version does not read."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``run.json``: who the run is, as of its last trainer process.

    ``monitor`` is ``embedded`` where the trainer judges itself; in ``lockstep``, it waits for each verdict.
    """

    run: str
    pid: int
    started: float
    signals: tuple[str, ...]
    actions: tuple[str, ...]
    world_size: Annotated[int, msgspec.Meta(ge=1)] = 1
    version: str = ""
    knobs: dict[str, KnobInfo] = msgspec.field(default_factory=dict)
    monitor: Literal["process", "embedded"] = "process"
    lockstep: bool = False
    schema: int = SCHEMA


class RunDirectory:
    """The paths of one run, and readers and writers of its files."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.telemetry = self.path / "telemetry"
        self.control = self.path / "control"
        self.journal = self.path / "journal"
        self.checkpoints = self.path / "checkpoints"
        self.info_file = self.path / INFO_NAME
        self.trainer_lock = self.path / "trainer.lock"
        self.monitor_lock = self.path / "monitor.lock"

    @property
    def name(self) -> str:
        """As text that can be shown and sent anywhere: bytes that are not UTF-8 become ``\\xff``."""
        return os.fsencode(self.path.absolute().name).decode("utf-8", "backslashreplace")

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def create(self) -> None:
        """Make the directory and its folders. Raises `OSError`."""
        for folder in (self.telemetry, self.control, self.journal, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)

    def exists(self) -> bool:
        """Whether a trainer has introduced itself here, as far as we are allowed to see."""
        return os.path.isfile(self.info_file)

    def write_info(self, info: RunInfo) -> None:
        """Replace ``run.json`` as a whole: a reader sees the old one or the new one. Raises `OSError`."""
        pending = self.info_file.with_suffix(".json.tmp")
        pending.write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
        os.replace(pending, self.info_file)

    def read_info(self) -> RunInfo:
        """``run.json``. Raises `RunDirectoryError`, naming what is wrong with it."""
        try:
            info = msgspec.json.decode(self.info_file.read_bytes(), type=RunInfo)
        except FileNotFoundError:
            raise RunDirectoryError(f"{self.path}: not a run directory: it has no {INFO_NAME}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise RunDirectoryError(f"{self.info_file}: {error}") from None
        if info.schema != SCHEMA:
            raise RunDirectoryError(f"{self.info_file}: schema {info.schema}, but this version reads schema {SCHEMA}")
        return info

    def last_written(self) -> float:
        """When the trainer last wrote telemetry, Unix seconds; 0 where it never did, or that can't be seen."""
        try:
            return os.stat(segment_path(self.telemetry, segment_numbers(self.telemetry)[-1])).st_mtime
        except (IndexError, OSError):
            return 0.0

    def read_telemetry(self) -> RecordReader[Telemetry]:
        return RecordReader(self.telemetry, decode_telemetry)

    def read_control(self) -> RecordReader[Control]:
        return RecordReader(self.control, decode_control)

    def read_journal(self) -> RecordReader[Journal]:
        return RecordReader(self.journal, decode_journal)

    def write_telemetry(self) -> SegmentWriter:
        return SegmentWriter(self.telemetry)

    def write_control(self) -> SegmentWriter:
        return SegmentWriter(self.control)

    def write_journal(self) -> SegmentWriter:
        return SegmentWriter(self.journal)


def runs_in(directory: str | os.PathLike[str]) -> Iterator[RunDirectory]:
    """The runs in a directory, by name; the directory itself where it is a run.

    Directories in it that may not be read are passed over. Raises `OSError` where it can't be read itself.
    """
    here = RunDirectory(directory)
    if here.exists():
        yield here
        return
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        run = RunDirectory(here.path / name)
        if run.exists():
            yield run
