"""What a guard is made of, and how its parts are joined. Each part knows only those it was given here."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainguard import actuators, arguments, signals
from trainguard.checkpoints import Checkpointer
from trainguard.checkpoints.data_stream import DataStream
from trainguard.clock import Clock
from trainguard.exchange.emitter import Emitter
from trainguard.exchange.inbox import ControlSource, Inbox
from trainguard.exchange.lockstep import Lockstep
from trainguard.exchange.pausing import Pausing
from trainguard.exchange.ranks import num_ranks, rank
from trainguard.exchange.session import Session
from trainguard.faults import Faults
from trainguard.levers.levers import Levers
from trainguard.measuring.meter import Meter
from trainguard.measuring.overhead import Overhead
from trainguard.measuring.readout import Readout
from trainguard.progress import Progress
from trainguard.settings import Settings
from trainguard.signals.gradients import LAYERS
from trainguard.updating.update import Update
from trainguard_wire import RunDirectory, RunInfo, __version__

if TYPE_CHECKING:
    from trainguard.exchange.embedded import Embedded


class Instruments:
    """What measures and steers, before there is a run directory."""

    def __init__(self, settings: Settings) -> None:
        self.clock, self.faults, self.progress = Clock(), Faults(), Progress()
        self.emitter = Emitter(self.progress, self.clock, self.faults)
        self.levers, self.pausing = Levers(settings, self.faults), Pausing(self.clock, self.faults)
        self.update = Update(settings, self.levers.gate, self.levers.skipping, self.faults)
        self.overhead = Overhead()
        sensors = signals.offered(settings, self.levers, self.overhead, self.faults)
        self.data = DataStream(settings.loader)
        cadences = arguments.check_cadences(
            settings.every, tuple(name for sensor in sensors for name in sensor.signals)
        )
        self.judge = self._embedded(settings.rules) if settings.monitor == "embedded" else None
        self.readout = Readout(self.faults, exact=settings.exact)
        self.meter = Meter(sensors, cadences, clock=self.clock, faults=self.faults)

    def checkpointer(
        self, settings: Settings, directory: RunDirectory, guard_state: Callable[[], dict[str, Any]]
    ) -> Checkpointer | None:
        """None where none are wanted, and in a run of several ranks. What an earlier process left half done goes."""
        if settings.checkpoint_every is None or num_ranks() > 1:
            return None
        checkpointer = Checkpointer(
            directory.checkpoints,
            settings,
            self.data,
            guard_state=guard_state,
            progress=self.progress,
            readout=self.readout,
            emitter=self.emitter,
            clock=self.clock,
            faults=self.faults,
        )
        checkpointer.clean()
        return checkpointer

    def _embedded(self, rules: Sequence[str]) -> "Embedded":
        from trainguard.exchange.embedded import Embedded  # brings the rules, which a trainer is spared otherwise

        return Embedded.of(rules, self.clock, self.faults)

    def inbox(self, checkpointer: Checkpointer | None, stop: actuators.Stop) -> Inbox:
        """Obeys in a run of one rank: one rank that acts alone would drift from the others."""
        offered = actuators.offered(self.levers, checkpointer, self.meter, self.pausing, stop)
        return Inbox(
            offered if num_ranks() == 1 else [],
            checkpointer,
            emitter=self.emitter,
            progress=self.progress,
            faults=self.faults,
        )


@dataclass(frozen=True)
class Seat:
    """The place in a run directory. ``session`` is None where it could not be had, ``judge`` where others judge."""

    directory: RunDirectory
    session: Session | None
    judge: "Embedded | None"

    @classmethod
    def take(cls, directory: RunDirectory, parts: Instruments) -> "Seat":
        """Take the leases. What goes wrong is said once, and training goes on unwatched."""
        if rank() > 0:
            return cls(directory, None, None)
        try:
            session = Session.open(directory)
        except Exception as error:
            parts.faults.note("run_directory", error)
            return cls(directory, None, parts.judge)
        parts.progress.generation = session.generation
        judge = parts.judge if parts.judge is not None and parts.judge.take(directory) else None
        return cls(directory, session, judge)

    def begin(self, settings: Settings, parts: Instruments, inbox: Inbox) -> None:
        """Begin to write, to be judged and to obey."""
        info = RunInfo(
            run=self.directory.name,
            pid=os.getpid(),
            started=parts.clock.time(),
            signals=tuple(name for name in parts.meter.names if name != LAYERS),
            actions=inbox.kinds,
            world_size=num_ranks(),
            version=__version__,
            knobs=parts.levers.knobs.info(),
            monitor="process" if self.judge is None else "embedded",
            lockstep=settings.lockstep is not None,
        )
        if self.session is not None:
            parts.emitter.connect(self.session.telemetry)
            inbox.connect(self._control(self.session, settings, parts))
            with parts.faults.around("run_directory"):
                self.session.introduce(info)
        if self.judge is not None:
            parts.emitter.listen(self.judge.judge)
            inbox.connect(self.judge)
        if self.session is not None or self.judge is not None:
            parts.emitter.hello(info)

    @staticmethod
    def _control(session: Session, settings: Settings, parts: Instruments) -> ControlSource:
        if settings.lockstep is None:
            return session.control
        return Lockstep(
            session.control,
            settings.lockstep,
            session.generation,
            emitter=parts.emitter,
            clock=parts.clock,
            faults=parts.faults,
        )

    def leave(self) -> None:
        if self.judge is not None:
            self.judge.close()
        if self.session is not None:
            self.session.close()
