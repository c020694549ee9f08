"""What lies in a run directory."""

from typing import Any

from trainguard_wire.segments import RecordReader


def everything(reader: RecordReader[Any]) -> list[Any]:
    """All records there are, in order; lines that a dying writer left torn are passed over."""
    records: list[Any] = []
    while some := reader.read():
        records += some
    reader.close()
    return records
