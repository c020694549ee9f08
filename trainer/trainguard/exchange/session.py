"""A seat in a run directory: made, leased, numbered, introduced.

A trainer process takes the run's lease, finds the generation after the last one in the telemetry, and passes over
all control there is: it was meant for a process before this one. Only then it writes ``run.json``: whoever reads
that may write control at once.
"""

import gc
from collections.abc import Iterator
from dataclasses import dataclass

from trainguard_wire import (
    CodecError,
    Control,
    Lease,
    LeaseHeld,
    RecordReader,
    RunDirectory,
    RunInfo,
    SegmentWriter,
    decode_telemetry,
)
from trainguard_wire.segments import segment_numbers, segment_path


@dataclass(frozen=True)
class Session:
    """What a trainer holds of its run directory. ``generation`` is the one it opens."""

    directory: RunDirectory
    lease: Lease
    control: RecordReader[Control]
    telemetry: SegmentWriter
    generation: int

    @classmethod
    def open(cls, directory: RunDirectory) -> "Session":
        """Take the seat. Raises `OSError` where the directory can't be used, RuntimeError where it is taken."""
        directory.create()
        lease = _lease(directory)
        try:
            generation = next_generation(directory)
            control = directory.read_control()
            control.seek_to_end()
        except BaseException:
            lease.release()
            raise
        return cls(directory, lease, control, directory.write_telemetry(), generation)

    def introduce(self, info: RunInfo) -> None:
        """Write ``run.json``: from now on monitors find the run. Raises `OSError`."""
        self.directory.write_info(info)

    def close(self) -> None:
        self.control.close()
        self.telemetry.close()
        self.lease.release()


def _lease(directory: RunDirectory) -> Lease:
    """Also where an earlier guard of this process was dropped without an end, as by a notebook's cell run again."""
    try:
        return Lease.take(directory.trainer_lock)
    except LeaseHeld as problem:
        if not problem.is_own:
            raise
    gc.collect()  # a guard is full of cycles
    try:
        return Lease.take(directory.trainer_lock)
    except LeaseHeld:
        another = f"{directory.path}: an earlier guard of this process has this run"
        raise RuntimeError(
            f"{another}; call its close() before you make the next, or give that another run_dir"
        ) from None


def next_generation(directory: RunDirectory) -> int:
    """One after the generation of the last readable record; 0 in a fresh directory."""
    for number in reversed(segment_numbers(directory.telemetry)):
        for line in _lines_backwards(segment_path(directory.telemetry, number).read_bytes()):
            try:
                return decode_telemetry(line).generation + 1
            except CodecError:
                continue
    return 0


def _lines_backwards(data: bytes) -> Iterator[bytes]:
    end = len(data)
    while end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        yield data[start:end]
        end = start
