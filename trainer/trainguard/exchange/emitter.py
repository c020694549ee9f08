"""Telemetry out: every record is stamped with where the run is, and written at once or counted as lost.

A write costs some ten microseconds and never waits; there is no queue and no thread. Where the disk is full or
the directory gone, the record is lost, the loss is counted, and the next record is tried like any other. An embedded
monitor is told each record, lost ones too.
"""

from collections.abc import Callable
from typing import Literal, TypedDict

from trainguard.clock import Clock
from trainguard.faults import Faults
from trainguard.measuring.readout import Reading
from trainguard.progress import Moment, Progress
from trainguard_wire import (
    Ack,
    AckStatus,
    Action,
    CheckpointSaved,
    Goodbye,
    Heartbeat,
    Hello,
    RunInfo,
    SegmentWriter,
    Telemetry,
    sample_of,
)

Outcome = Literal["finished", "stopped", "failed"]


class _Stamp(TypedDict):
    step: int
    generation: int
    time: float


class Emitter:
    """Writes telemetry, once it is connected; until then every record is lost.

    ``written`` and ``lost`` count the records of this process. One that is ``mute`` has nothing to say, and loses none.
    """

    def __init__(self, progress: Progress, clock: Clock, faults: Faults) -> None:
        self._writer: SegmentWriter | None = None
        self._listener: Callable[[Telemetry], None] | None = None
        self._progress = progress
        self._clock = clock
        self._faults = faults
        self.written = self.lost = self._seen = 0
        self.mute = False

    def connect(self, writer: SegmentWriter) -> None:
        self._writer = writer

    def listen(self, listener: Callable[[Telemetry], None]) -> None:
        """Have ``listener`` called with each record from now on. It must not raise."""
        self._listener = listener

    def hello(self, info: RunInfo) -> None:
        self._write(
            Hello(
                **self._stamp(),
                run=info.run,
                pid=info.pid,
                signals=info.signals,
                actions=info.actions,
                world_size=info.world_size,
                version=info.version,
                knobs=info.knobs,
            )
        )

    def sample(self, reading: Reading) -> None:
        """One sample, of the moment it was measured at. Nothing to say is not said."""
        at, values, layers = reading
        if values or layers:
            self._write(
                sample_of(values, step=at.step, generation=at.generation, time=at.time, epoch=at.epoch, layers=layers)
            )

    def ack(
        self,
        action: Action,
        status: AckStatus,
        *,
        before: float | None = None,
        after: float | None = None,
        factor: float | None = None,
        checkpoint: int | None = None,
        reason: str = "",
    ) -> None:
        self._write(
            Ack(
                **self._stamp(),
                action=action.id,
                kind=action.kind,
                status=status,
                before=before,
                after=after,
                factor=factor,
                checkpoint=checkpoint,
                reason=reason,
            )
        )

    def checkpoint_saved(self, at: Moment, seconds: float) -> None:
        self._write(CheckpointSaved(step=at.step, generation=at.generation, time=at.time, seconds=seconds))

    def heartbeat(self) -> None:
        """Say that we live; and look whether what we write still reaches anybody."""
        self._look()
        self._write(Heartbeat(**self._stamp(), lost=self.lost, errors=dict(self._faults.counts)))
        self._seen = self.written

    def goodbye(self, outcome: Outcome, error: str = "") -> None:
        self._look()
        self._write(Goodbye(**self._stamp(), outcome=outcome, error=error, lost=self.lost))

    def _look(self) -> None:
        """Where the file was deleted, all that was written since the last look counts as lost."""
        if self._writer is not None and self._writer.is_unlinked():
            self._faults.note("telemetry", f"{self._writer.directory} was deleted")
            self._writer.close()
            self.lost += self.written - self._seen

    def _stamp(self) -> _Stamp:
        return {"step": self._progress.step, "generation": self._progress.generation, "time": self._clock.time()}

    def _write(self, record: Telemetry) -> None:
        if self._writer is None:
            self.lost += not self.mute
        else:
            try:
                self._writer.append(record)
                self.written += 1
            except Exception as error:
                self.lost += 1
                self._faults.note("telemetry", error)
        if self._listener is not None:
            self._listener(record)
