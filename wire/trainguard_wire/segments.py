"""Append-only files in numbered segments: one writer, any number of readers, no lock between them.

A record is one line, written with one ``write``. Readers follow close behind and meet half-written lines;
they keep the half and go on with the next read. A writer that died in mid-line leaves a torn tail: the next
writer begins a new segment and never touches it, and readers count it. A line that does not decode is
counted and skipped. The writer of a full disk ends the torn line before it writes again.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from trainguard_wire.codec import CodecError, encode
from trainguard_wire.control import Control
from trainguard_wire.journal import Journal
from trainguard_wire.telemetry import Telemetry

SUFFIX = ".jsonl"
SEGMENT_BYTES = 64 * 1024 * 1024
READ_BYTES = 1024 * 1024
LONGEST_LINE = 4 * 1024 * 1024
_SEGMENT = re.compile(r"[0-9]+\.jsonl")

_Record = TypeVar("_Record")


def segment_numbers(directory: Path) -> list[int]:
    """The numbers of the segments in a directory, in order; none where there is no such directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name[: -len(SUFFIX)]) for name in names if _SEGMENT.fullmatch(name))


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:06d}{SUFFIX}"


class SegmentWriter:
    """Appends records to the segments of one directory. Opens a new segment of its own on the first record.

    Not for two threads, and never two writers on one directory: that is what `Lease` is for.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._fd: int | None = None
        self._size = 0
        self._torn = False

    def append(self, record: Telemetry | Control | Journal) -> None:
        """Write one record, or raise `OSError` and leave a line that readers skip."""
        self.append_lines(encode(record))

    def append_lines(self, lines: bytes) -> None:
        """Write whole encoded lines at once. Raises `OSError`."""
        if self._fd is None or self._size >= self._segment_bytes:
            self._open_next()
        if self._torn:
            lines = b"\n" + lines
        assert self._fd is not None
        written = os.write(self._fd, lines)
        self._size += written
        self._torn = written < len(lines)
        if self._torn:
            raise OSError(f"{self.directory}: only {written} of {len(lines)} bytes fitted on the disk")

    def is_unlinked(self) -> bool:
        """Whether the open segment was deleted under us: writes succeed then, and reach nobody."""
        return self._fd is not None and os.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Raises `OSError` where only now it shows that the disk did not take it all. It is closed then, too."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open_next(self) -> None:
        numbers = segment_numbers(self.directory)
        path = segment_path(self.directory, (numbers[-1] if numbers else 0) + 1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.close()
        self._fd, self._size, self._torn = fd, 0, False


class Position(NamedTuple):
    """A place between two lines: the number of a segment, and an offset in bytes."""

    segment: int
    offset: int


class SegmentReader:
    """Follows the segments of one directory from the first byte on, across segments yet to come.

    ``torn`` counts lines that ended without a newline in a segment that is complete, or grew too long.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.torn = 0
        self._next_path: str | None = None
        self._fd: int | None = None
        self._partial = b""
        self._skipping = False
        self._resting: Position | None = None

    def read_lines(self) -> list[bytes]:
        """The complete lines that came since the last call, without their newlines; ``[]`` at the end.

        Reads about a megabyte at most: call again until it returns nothing. A directory that is not there
        (yet, or any more) reads as empty.
        """
        if self._resting is not None and not self._wake(self._resting):
            return []
        while self._fd is not None or self._open_following():
            assert self._fd is not None
            data = os.read(self._fd, READ_BYTES)
            if data:
                lines = self._split(data)
                if lines:
                    return lines
            elif not self._advance():
                return []
        return []

    def tell(self) -> Position | None:
        """Where the next line begins; None before the first read."""
        if self._fd is None or self._next_path is None:
            return None
        return Position(int(Path(self._next_path).stem) - 1, os.lseek(self._fd, 0, os.SEEK_CUR) - len(self._partial))

    def seek(self, position: Position) -> bool:
        """Go on reading at a place that `tell` gave; False where that segment is not there any more."""
        if not self._open(str(segment_path(self.directory, position.segment))):
            return False
        assert self._fd is not None
        os.lseek(self._fd, position.offset, os.SEEK_SET)
        return True

    def rest(self) -> None:
        """Hold no file open until the next read, which goes on here."""
        if not self._skipping:
            place = self.tell() or self._resting
            self.close()
            self._resting = place

    def seek_to_end(self) -> None:
        """Pass over everything there is now: only what comes later will be read."""
        numbers = segment_numbers(self.directory)
        if not numbers:  # the first will be number 1: asking for it by name spares listing at each read
            self._next_path = str(segment_path(self.directory, 1))
            return
        self._open(str(segment_path(self.directory, numbers[-1])))
        assert self._fd is not None
        os.lseek(self._fd, 0, os.SEEK_END)

    def close(self) -> None:
        self._resting = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _wake(self, place: Position) -> bool:
        """Open the file again, where there is something new: else not even a file handle is needed."""
        try:
            grown = os.stat(segment_path(self.directory, place.segment)).st_size > place.offset
        except FileNotFoundError:
            grown = False
        if not grown and (self._next_path is None or not os.access(self._next_path, os.F_OK)):
            return False
        self.seek(place)
        return True

    def _split(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._partial + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if len(rest) > LONGEST_LINE or self._skipping:
            self.torn += not self._skipping
            self._skipping, rest = True, b""
        self._partial = rest
        return [line for line in lines if line]

    def _advance(self) -> bool:
        """At the end of a segment: go on in the next one, once there is one and this one is read dry."""
        if self._next_path is None or not os.access(self._next_path, os.F_OK):
            return False
        assert self._fd is not None
        rest = os.read(self._fd, READ_BYTES)
        if rest:
            os.lseek(self._fd, -len(rest), os.SEEK_CUR)
            return True
        self.torn += bool(self._partial)
        return self._open_following()

    def _open_following(self) -> bool:
        if self._next_path is not None and not os.access(self._next_path, os.F_OK):  # unlike stat, it raises nothing
            return False
        path = self._next_path or self._first()
        return path is not None and self._open(path)

    def _first(self) -> str | None:
        first = next(iter(segment_numbers(self.directory)), None)
        return None if first is None else str(segment_path(self.directory, first))

    def _open(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.close()
        self._fd, self._partial, self._skipping = fd, b"", False
        self._next_path = str(segment_path(self.directory, int(Path(path).stem) + 1))
        return True


class RecordReader(Generic[_Record]):
    """A `SegmentReader` whose lines are decoded. ``corrupt`` counts lines that were no record, torn ones included."""

    def __init__(self, directory: Path, decode: Callable[[bytes], _Record]) -> None:
        self._lines = SegmentReader(directory)
        self._decode = decode
        self._undecodable = 0

    @property
    def corrupt(self) -> int:
        return self._undecodable + self._lines.torn

    def read(self) -> list[_Record]:
        """The records that came since the last call; ``[]`` at the end."""
        while lines := self._lines.read_lines():
            records = []
            for line in lines:
                try:
                    records.append(self._decode(line))
                except CodecError:
                    self._undecodable += 1
            if records:
                return records
        return []

    def seek_to_end(self) -> None:
        self._lines.seek_to_end()

    def rest(self) -> None:
        """As `SegmentReader.rest`."""
        self._lines.rest()

    def close(self) -> None:
        self._lines.close()
