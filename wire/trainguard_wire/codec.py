"""Records to bytes and back: one JSON object and a newline, through msgspec.

Decoding validates every field. Unknown fields are ignored, so that an older reader follows a newer writer.
"""

from typing import TypeVar

import msgspec

from trainguard_wire.control import Control
from trainguard_wire.journal import Journal
from trainguard_wire.telemetry import Telemetry

_Record = TypeVar("_Record")

_encoder = msgspec.json.Encoder()
_telemetry: msgspec.json.Decoder[Telemetry] = msgspec.json.Decoder(Telemetry)
_control: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)
_journal: msgspec.json.Decoder[Journal] = msgspec.json.Decoder(Journal)


class CodecError(ValueError):
    """A line that is not a record we know. The message says what was met and what was wanted."""


def encode(record: Telemetry | Control | Journal) -> bytes:
    """One line, newline included."""
    return _encoder.encode(record) + b"\n"


def decode_telemetry(line: bytes) -> Telemetry:
    """A line of ``telemetry/``. Raises `CodecError`."""
    return _decode(_telemetry, line)


def decode_control(line: bytes) -> Control:
    """A line of ``control/``. Raises `CodecError`."""
    return _decode(_control, line)


def decode_journal(line: bytes) -> Journal:
    """A line of ``journal/``. Raises `CodecError`."""
    return _decode(_journal, line)


def _decode(decoder: "msgspec.json.Decoder[_Record]", line: bytes) -> _Record:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"{error} in {line[:120]!r}") from None
