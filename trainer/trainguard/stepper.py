"""The order of things around one optimizer step.

::

    before    put the overlays on; let the gate judge; measure loss, gradients, predictions
    optimize  the optimizers move the parameters, unless the update is dropped
    after     overlays off; acknowledge what this step showed; emit its sample; save a checkpoint if due;
              read control and act; install the hooks of the next step; heartbeat if due

Several ranks meet at the begin of ``after``, over what they launched at the end of the one before: see
`trainguard.ranks`.

All of it is timed, but for saving, acting, the meeting of ranks and waiting in lockstep: see `Overhead`.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.nn.parameter import is_lazy

from trainguard import arguments
from trainguard.checkpoints.base import Checkpoints
from trainguard.exchange.emitter import Outcome
from trainguard.exchange.inbox import Inbox
from trainguard.measuring.readout import Reading
from trainguard.ranks.world import TOO_EARLY, num_ranks
from trainguard.settings import Settings
from trainguard.signals.base import Measured, StepView
from trainguard.wiring import Instruments, Seat


class Stepper:
    """Takes a run through its steps.

    ``closed``: it only steps the optimizers any more. ``last``: the last value of each signal.
    """

    def __init__(
        self, settings: Settings, parts: Instruments, checkpointer: Checkpoints | None, inbox: Inbox, seat: Seat
    ) -> None:
        self._ticks, self._time = parts.clock.ticks, parts.clock.time
        self._faults, self._progress = parts.faults, parts.progress
        self._meter, self._readout, self._emitter, self._inbox = parts.meter, parts.readout, parts.emitter, inbox
        self._model = settings.model
        self._levers, self._update, self._pausing = parts.levers, parts.update, parts.pausing
        self._overhead = parts.overhead
        self._ranks, self._num_ranks = parts.ranks, parts.num_ranks
        self._budget = parts.budget(settings.budget)
        self._waits = settings.lockstep is not None
        self._polls_always = (
            self._ranks is not None
            or self._budget is None
            or self._waits
            or seat.judge is not None
            or not parts.meter.duties
        )
        self._checkpointer, self._seat = checkpointer, seat
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._last_heartbeat = self._ticks()
        self._last_step: float | None = None
        self._view: StepView | None = None
        self._own_seconds = 0.0
        self._begun = self._published = False
        self.closed = False
        self.last: dict[str, float] = {}
        self._meter.arm(1)

    def begin(self) -> None:
        """Save the state there is before the first step, once. A lazy module has one after its first forward pass."""
        if not self._begun and not self.closed and not any(map(is_lazy, self._model.parameters())):
            self._begun = True
            if self._checkpointer is not None:
                self._checkpointer.save_quietly(in_loop=False)

    def resume(self, step: int) -> None:
        """Go on after ``step``. What was saved before the first step is of a state that is not there any more."""
        if self._last_step is None and self._checkpointer is not None:
            self._checkpointer.disown_latest()
        self._progress.step = step
        self._begun = False
        self._meter.arm(step + 1)

    def before(self, view: StepView, epoch: int | None) -> None:
        """Between the backward pass and the optimizers' step."""
        if self.closed:
            return
        if not self._begun or self._last_step is None:
            self._set_out()
        began = self._ticks()
        self._view = view
        self._progress.epoch = None if epoch is None else self._whole_epoch(epoch)
        self._levers.put_on(self._progress)
        try:
            self._update.prepare(view)
            self._own_seconds += self._meter.begin(view)
        except Exception as error:
            self._faults.note("step", error)
        self._own_seconds += self._ticks() - began

    def _set_out(self) -> None:
        """Before the first step, and the first one from a state that was loaded: it is the state to go on from."""
        self.begin()
        if self._checkpointer is not None:
            self._checkpointer.report()
        if self._last_step is None:
            self._look_for_ranks()

    def _look_for_ranks(self) -> None:
        """Those that were not there when the guard was made are too many to act alone."""
        if self._num_ranks == 1 and num_ranks() > 1:
            self._faults.note("ranks", TOO_EARLY)
            self._inbox.refuse_all(TOO_EARLY)

    def optimize(self) -> None:
        """The optimizers' own step; their exceptions come out."""
        try:
            self._update.make()
        except BaseException:
            self._update.settle()
            self._levers.take_off()
            raise

    def after(self) -> None:
        """Right after the optimizers' step: report it, and act on what was asked."""
        if self._ranks is not None:
            self._ranks.meet()
        now = self._ticks()
        self._update.settle()
        self._levers.take_off()
        view, self._view = self._view, None
        if self.closed:
            return
        if view is None:
            self._faults.note("step", "after_step() without before_step(): this step is not counted")
            return
        if self._last_step is not None:
            view.seconds = now - self._last_step
            self._overhead.add(self._own_seconds, view.seconds)
        self._last_step, self._own_seconds = now, 0.0
        self._progress.step += 1
        is_told = self._published  # a monitor has had a step's time to think about what it was told
        try:
            self._report(view)
        except Exception as error:
            self._faults.note("step", error)
        self._own_seconds = self._ticks() - now
        try:
            self._cross_boundary(is_told)
        except Exception as error:
            self._faults.note("step", error)
        try:
            self._prepare()
        except Exception as error:
            self._faults.note("step", error)
        if now - self._last_heartbeat >= self._heartbeat_seconds:
            self.heartbeat()

    def wait(self) -> None:
        """Where the run was paused: look at control, and say that training is alive, until it is not any more."""
        if self._pausing.is_on and self._pausing.wait(self._look):
            self._last_step = self._ticks()

    def _look(self) -> None:
        if self._ranks is not None:
            self._ranks.meet()
        self._inbox.poll()
        if self._ranks is not None:
            self._ranks.launch()
        if self._ticks() - self._last_heartbeat >= self._heartbeat_seconds:
            self.heartbeat()

    def observe(self, values: Mapping[str, float | Tensor]) -> None:
        """Report values of the user's own, as of now."""
        if self.closed:
            return
        with self._faults.around("observe"):
            taken = values.keys() & set(self._meter.names)
            for name in taken:
                self._faults.note("observe", f"{name!r} is measured by trainguard itself; use another name")
            free: dict[str, Measured] = {name: value for name, value in values.items() if name not in taken}
            self._publish(self._readout.observe(self._progress.at(self._time()), free))

    def heartbeat(self) -> None:
        self._last_heartbeat = self._ticks()
        with self._faults.around("heartbeat"):
            self._emitter.heartbeat()

    def close(self, outcome: Outcome, error: str = "") -> None:
        """End the run in order, whatever part of it fails. May be called twice."""
        if self.closed:
            return
        self.closed = True
        with self._faults.around("close"):
            self._update.settle()
            self._levers.close()
            self._meter.disarm()
        with self._faults.around("close"):
            self._tell_the_rest(outcome)
        with self._faults.around("close"):
            self._inbox.give_up("training ended before a step could show it")
            if self._checkpointer is not None:
                self._checkpointer.close()
        with self._faults.around("close"):
            self._emitter.goodbye(outcome, error)
        with self._faults.around("close"):
            self._seat.leave()

    def _tell_the_rest(self, outcome: Outcome) -> None:
        if self._ranks is not None and outcome == "failed":
            self._ranks.abandon()
        self._publish(self._readout.flush())
        if self._ranks is not None:
            self._ranks.close()

    def _report(self, view: StepView) -> None:
        if self._inbox.pending:
            self._inbox.settle_seen()
        values = self._meter.finish(view)
        self._published = bool(values)
        if values is not None or self._readout.is_waiting:
            began = self._ticks()
            self._publish(self._readout.submit(self._progress.at(self._time()), values or {}))
            self._overhead.publishing.add(self._ticks() - began)

    def _cross_boundary(self, is_told: bool) -> None:
        """Save what is due, and do what was asked. Under a budget, control is read when there may be some."""
        if self._checkpointer is not None:
            self._checkpointer.save_if_due()
        if is_told or self._polls_always:
            began = self._ticks()
            if not self._inbox.poll() and not self._waits:
                seconds = self._ticks() - began
                self._overhead.polling.add(seconds)
                self._own_seconds += seconds

    def _prepare(self) -> None:
        """For the next step."""
        began = self._ticks()
        if self._ranks is not None:
            self._ranks.launch()
        if self._budget is not None:
            self._budget.look()
        self._meter.arm(self._progress.step + 1)
        self._own_seconds += self._ticks() - began

    def _publish(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            self.last.update(reading.values)
            if self._inbox.pending:
                self._inbox.settle(reading)
            self._emitter.sample(reading)

    def _whole_epoch(self, epoch: int | None) -> int | None:
        if epoch is not None:
            with self._faults.around("epoch"):
                return arguments.whole_epoch(epoch)
        return None
