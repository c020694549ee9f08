"""What a guard is made of, and how its parts are joined. Each part knows only those it was given here."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainguard import actuators, arguments, signals
from trainguard.checkpoints import Checkpointer
from trainguard.checkpoints.base import Checkpoints
from trainguard.checkpoints.data_stream import DataStream
from trainguard.checkpoints.training_state import TrainingState
from trainguard.clock import Clock
from trainguard.exchange.emitter import Emitter
from trainguard.exchange.inbox import ControlSource, Inbox
from trainguard.exchange.lockstep import Lockstep
from trainguard.exchange.pausing import Pausing
from trainguard.exchange.session import Session
from trainguard.faults import Faults
from trainguard.levers.levers import Levers
from trainguard.measuring.budget import Budget
from trainguard.measuring.meter import Meter
from trainguard.measuring.overhead import Overhead
from trainguard.measuring.readout import Readout
from trainguard.progress import Progress
from trainguard.ranks.checkpoints import FollowingCheckpointer, LeadingCheckpointer
from trainguard.ranks.control import JointControl
from trainguard.ranks.introduction import common, introduce
from trainguard.ranks.joint import Joint
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.readings import JointReadout
from trainguard.ranks.state import JointState
from trainguard.ranks.world import num_ranks, rank, warn_of_ranks_to_come
from trainguard.settings import Settings
from trainguard.signals.gradients import LAYERS
from trainguard.updating.update import Update
from trainguard_wire import RunDirectory, RunInfo, __version__
from trainguard_wire.journal import Mode

if TYPE_CHECKING:
    from trainguard.exchange.embedded import Embedded


CADENCES = "cadences"


class Instruments:
    """What measures and steers, before there is a run directory."""

    def __init__(self, settings: Settings) -> None:
        self.clock, self.faults, self.progress = Clock(), Faults(), Progress()
        warn_of_ranks_to_come()
        self.num_ranks = num_ranks()
        self.ranks = Ranks.join(settings.lockstep, self.progress, self.faults) if self.num_ranks > 1 else None
        self.emitter = Emitter(self.progress, self.clock, self.faults)
        self.levers, self.pausing = Levers(settings, self.faults), Pausing(self.clock, self.faults, self.ranks)
        self.update = Update(settings, self.levers.gate, self.levers.skipping, self.faults)
        self.overhead = Overhead()
        sensors = signals.offered(settings, self.levers, self.overhead, self.faults)
        self.data = DataStream(settings.loader)
        cadences = arguments.check_cadences(
            settings.every, tuple(name for sensor in sensors for name in sensor.signals)
        )
        self.judge = self._embedded(settings.rules, settings.mode) if settings.monitor == "embedded" else None
        readout = Readout(self.faults, exact=settings.exact or self.ranks is not None)
        self.readout = readout if self.ranks is None else JointReadout(readout, self.ranks)
        self.meter = Meter(sensors, cadences, clock=self.clock, faults=self.faults)
        if self.ranks is not None:
            self.ranks.hear(CADENCES, lambda said: self.meter.rearrange(map(int, said[0])))

    def budget(self, share: float | None) -> Budget | None:
        """Of several ranks, rank 0 sees to it for all: they measure the same in each step."""
        if share is None or (self.ranks is not None and self.ranks.rank > 0):
            return None
        return Budget(share, self.meter, self.overhead, self._rearrange)

    def _rearrange(self, cadences: Sequence[int]) -> None:
        if self.ranks is not None and self.ranks.together:
            self.ranks.say(CADENCES, *cadences)
        else:
            self.meter.rearrange(cadences)

    def checkpointer(
        self, every: int | None, settings: Settings, directory: RunDirectory, guard_state: Callable[[], dict[str, Any]]
    ) -> Checkpoints | None:
        """None where none are wanted, or ranks are not together. What an earlier process left half done goes."""
        ranks = self.ranks
        if every is None or (self.num_ranks > 1 and not (ranks and ranks.together)):
            return None
        state = TrainingState(settings, self.data, self.faults)
        joint = None if ranks is None else JointState(state, ranks, self.progress, self.faults)
        if joint is not None and rank() > 0:
            return FollowingCheckpointer(every, joint, self.progress, self.faults)
        how: Any = {"guard_state": guard_state, "progress": self.progress, "readout": self.readout}
        how |= {"emitter": self.emitter, "clock": self.clock, "faults": self.faults}
        checkpointer = (
            Checkpointer(directory.checkpoints, settings, state, **how)
            if joint is None
            else LeadingCheckpointer(directory.checkpoints, settings, joint, **how)
        )
        checkpointer.clean()
        return checkpointer

    def _embedded(self, rules: Sequence[str], mode: Mode) -> "Embedded":
        from trainguard.exchange.embedded import Embedded  # brings the rules, which a trainer is spared otherwise

        return Embedded.of(rules, mode, self.clock, self.faults)

    def inbox(self, checkpointer: Checkpoints | None, stop: actuators.Stop) -> Inbox:
        """Obeys where all ranks do: one rank that acts alone would drift from the others."""
        offered = actuators.offered(self.levers, checkpointer, self.meter, self.pausing, stop)
        if self.ranks is not None:
            kinds = common(self.ranks, [actuator.kind for actuator in offered])
            offered = [Joint(each, self.ranks, self.levers) for each in offered if each.kind in kinds]
        elif self.num_ranks > 1:
            offered = []
        return Inbox(offered, checkpointer, emitter=self.emitter, progress=self.progress, faults=self.faults)


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
            parts.emitter.mute = True
            return cls(directory, None, None)
        try:
            session = Session.open(directory)
        except Exception as error:
            parts.faults.note("run_directory", error)
            return cls(directory, None, parts.judge)
        parts.progress.generation = session.generation
        judge = parts.judge if parts.judge is not None and parts.judge.take(directory) else None
        return cls(directory, session, judge)

    def introduce(self, settings: Settings, parts: Instruments) -> int | None:
        """Have the ranks get to know each other; steps between two checkpoints, None without a directory for them."""
        checkpoint_every = settings.checkpoint_every if self.session is not None else None
        if not isinstance(parts.readout, JointReadout) or parts.ranks is None:
            return checkpoint_every
        return introduce(
            parts.ranks,
            settings,
            parts.readout,
            parts.progress,
            names=[name for name in parts.meter.names if name != LAYERS],
            is_watched=self.is_watched,
            checkpoint_every=checkpoint_every,
        )

    @property
    def is_watched(self) -> bool:
        return self.session is not None or self.judge is not None

    def begin(self, settings: Settings, parts: Instruments, inbox: Inbox) -> None:
        """Begin to write, to be judged and to obey."""
        obeying: Inbox | JointControl = inbox
        if parts.ranks is not None:
            obeying = JointControl(parts.ranks)
            inbox.connect(obeying)
        info = RunInfo(
            run=self.directory.name,
            pid=os.getpid(),
            started=parts.clock.time(),
            signals=tuple(name for name in parts.meter.names if name != LAYERS),
            actions=inbox.kinds,
            world_size=parts.num_ranks,
            version=__version__,
            knobs=parts.levers.knobs.info(),
            monitor="process" if self.judge is None else "embedded",
            lockstep=settings.lockstep is not None,
        )
        if self.session is not None:
            parts.emitter.connect(self.session.telemetry)
            obeying.connect(self._control(self.session, settings, parts))
            with parts.faults.around("run_directory"):
                self.session.introduce(info)
        if self.judge is not None:
            parts.emitter.listen(self.judge.judge)
            obeying.connect(self.judge)
        if self.is_watched:
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
