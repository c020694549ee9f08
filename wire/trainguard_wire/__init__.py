"""What the trainer and the monitor say to each other, and where they say it.

A run is a directory. The trainer appends *telemetry*, the monitor appends *control* and *journal*; every
file has one writer, and a reader never changes anything. This package knows messages, their encoding, the
files they live in and the lease that keeps two writers apart. It knows nothing of torch or of rules.
"""

from trainguard_wire.codec import CodecError, decode_control, decode_journal, decode_telemetry, encode
from trainguard_wire.control import Action, Control, Intervention, Judged, Promotion
from trainguard_wire.journal import (
    AlertNotice,
    Approval,
    Decision,
    Delivered,
    Derived,
    Input,
    Journal,
    Opened,
    Order,
    Outcome,
    Promoted,
    Reached,
    Transition,
    Verification,
)
from trainguard_wire.lease import Lease, LeaseHeld
from trainguard_wire.rundir import RunDirectory, RunDirectoryError, RunInfo
from trainguard_wire.segments import RecordReader, SegmentReader, SegmentWriter
from trainguard_wire.telemetry import (
    Ack,
    AckStatus,
    CheckpointSaved,
    Goodbye,
    Heartbeat,
    Hello,
    KnobInfo,
    NonFinite,
    Sample,
    Telemetry,
    sample_of,
)

__version__ = "0.1.0"

__all__ = [
    "Ack",
    "AckStatus",
    "Action",
    "AlertNotice",
    "Approval",
    "CheckpointSaved",
    "CodecError",
    "Control",
    "Decision",
    "Delivered",
    "Derived",
    "Goodbye",
    "Heartbeat",
    "Hello",
    "Input",
    "Intervention",
    "Journal",
    "Judged",
    "KnobInfo",
    "Lease",
    "LeaseHeld",
    "NonFinite",
    "Opened",
    "Order",
    "Outcome",
    "Promoted",
    "Promotion",
    "Reached",
    "RecordReader",
    "RunDirectory",
    "RunDirectoryError",
    "RunInfo",
    "Sample",
    "SegmentReader",
    "SegmentWriter",
    "Telemetry",
    "Transition",
    "Verification",
    "decode_control",
    "decode_journal",
    "decode_telemetry",
    "encode",
    "sample_of",
]
