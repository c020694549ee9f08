"""The guard: the face of the trainer's side. What happens in a step, and in which order, is in `Stepper`.

The loop is sacred. Nothing here raises into it, waits for the monitor (lockstep and pauses aside), draws a random
number or changes the arithmetic of a run that nobody acted upon: such a run has, bit for bit, the weights it would have
without a guard. What fails in here is counted, said once and goes out with the heartbeats. Only wrong arguments raise.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from trainguard import arguments
from trainguard.actuators import Stop
from trainguard.faults import describe
from trainguard.levers.knobs import Knob
from trainguard.settings import MonitorKind
from trainguard.signals.base import StepView
from trainguard.stepper import Stepper
from trainguard.wiring import Instruments, Seat
from trainguard_wire import RunDirectory
from trainguard_wire.journal import Mode


class Guard:
    """Watches one model and its optimizer, and carries out what a monitor asks for.

    ::

        with Guard(model, optimizer, scheduler=scheduler, run_dir="runs/a") as guard:
            for epoch in range(epochs):
                for x, y in loader:
                    optimizer.zero_grad(); logits = model(x); loss = criterion(logits, y); loss.backward()
                    guard.clip_(1.0)                                          # in place of clip_grad_norm_
                    guard.step(loss, logits=logits, targets=y, epoch=epoch)   # in place of optimizer.step()
                    if guard.stopped:
                        break                                                 # out of both loops
                if guard.stopped:
                    break
                guard.observe(val_loss=validate(model))

    Args:
        optimizer: one, or several that step together.
        scheduler: one or several; their state goes into the checkpoints. They are never stepped or changed.
        scaler: a ``torch.amp.GradScaler``; `step` then steps through it and updates it, and gradients are unscaled
            before anybody looks at them, unless the loop has called ``unscale_``.
        run_dir: where telemetry, control and checkpoints lie; ``$TRAINGUARD_RUNS/<script>-<time>-<pid>`` by
            default, ``runs/...`` where that is not set.
        checkpoint_every: steps between two checkpoints; None keeps none, and offers no restore.
        keep: how many checkpoints to keep; the newest good one stays in any case.
        every: steps between two measurements of a signal, by name; None for never. By default each
            signal is measured as often as it is cheap, from each step to each 100th.
        keep_in_memory: how many checkpoints to keep in CPU memory as well, as far as it reaches.
        state: more that belongs into a checkpoint, by name: whatever has ``state_dict`` and ``load_state_dict``. What
            these hold are dicts, lists and tuples of numbers, strings, bytes, None and tensors.
        loader: a data loader with ``state_dict`` and ``load_state_dict``, for a restore that rewinds the data; see
            `batches`.
        knobs: numbers of yours that rules may turn, by name; see `Knob`.
        budget: the share of the step's time that measuring may take, such as 0.01; None: no limit.
        activations: modules whose outputs are watched; by default all activation modules of torch.nn.
        features: the module whose output are the features; by default the input of the last ``nn.Linear``.
        monitor: who judges: a monitor ``process`` that reads the run directory, or one ``embedded`` in this process.
        rules: for the embedded monitor, rule files and names of packs; ``stability`` by default. Where the run has
            a monitor process already, that one judges, which is said.
        mode: for the embedded monitor, the most that a rule may do. ``act``, by default: as the rule files have it;
            ``observe``: none acts, the journal says when it would have; ``approve``: each asks, and nobody can answer.
        lockstep: wait after each step for the monitor's verdict, so many seconds at most; None: never wait.
        heartbeat_seconds: at most so long without a heartbeat while steps go on.

    Raises TypeError and ValueError for wrong arguments. A run directory that cannot be used, or that another
    trainer holds, raises nothing: training goes on unwatched, which is said once on the logger ``trainguard``.
    In a run of several ranks each makes its guard, at the same place of its program, since the guards get to know each
    other there. They measure and act together (see `trainguard.ranks`), and rank 0 alone writes the run directory.

    ``gate`` drops bad updates in the step that would make them, once it is configured; see `Gate`.

    Not for two threads.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        scheduler: Any = None,
        scaler: Any = None,
        run_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = 500,
        keep: int = 3,
        keep_in_memory: int = 2,
        state: Mapping[str, Any] | None = None,
        loader: Any = None,
        knobs: Mapping[str, Knob] | None = None,
        every: Mapping[str, int | None] | None = None,
        budget: float | None = None,
        activations: Iterable[nn.Module] | None = None,
        features: nn.Module | None = None,
        monitor: MonitorKind = "process",
        rules: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        mode: Mode | None = None,
        lockstep: float | None = None,
        heartbeat_seconds: float = 10.0,
    ) -> None:
        settings = arguments.settings(
            model,
            optimizer,
            scheduler=scheduler,
            scaler=scaler,
            run_dir=run_dir,
            checkpoint_every=checkpoint_every,
            keep=keep,
            keep_in_memory=keep_in_memory,
            state=state,
            loader=loader,
            knobs=knobs,
            every=every,
            budget=budget,
            activations=activations,
            features=features,
            monitor=monitor,
            rules=rules,
            mode=mode,
            lockstep=lockstep,
            heartbeat_seconds=heartbeat_seconds,
        )
        parts = Instruments(settings)
        self._faults, self._progress = parts.faults, parts.progress
        self._emitter, self._meter = parts.emitter, parts.meter
        self._levers, self._update = parts.levers, parts.update
        self.gate = parts.levers.gate
        self._data = parts.data

        seat = Seat.take(RunDirectory(settings.run_path), parts)
        checkpoint_every = seat.introduce(settings, parts)
        checkpointer = parts.checkpointer(checkpoint_every, settings, seat.directory, self.state_dict)
        self._stop = Stop(checkpointer, parts.pausing)
        inbox = parts.inbox(checkpointer, self._stop)
        seat.begin(settings, parts, inbox)
        self._stepper = Stepper(settings, parts, checkpointer, inbox, seat)

    @property
    def stopped(self) -> bool:
        """Whether the loop was asked to end. A checkpoint of this moment is on disk, where the run keeps any."""
        return self._stop.stopped

    @property
    def num_steps(self) -> int:
        """Steps done, those before a `load_state_dict` included."""
        return self._progress.step

    @property
    def last(self) -> dict[str, float]:
        """The last value of each signal, and of what you observe; on an accelerator, of the step before.

        Reading it waits for nothing: in place of a ``loss.item()`` for a progress line.
        """
        return dict(self._stepper.last)

    @property
    def lost(self) -> int:
        """Telemetry records that could not be written."""
        return self._emitter.lost

    @property
    def errors(self) -> dict[str, int]:
        """Failures of trainguard's own that were swallowed, by what failed."""
        return dict(self._faults.counts)

    def clip_(self, max_norm: float) -> Tensor:
        """Clip the gradients in place, bit for bit as ``torch.nn.utils.clip_grad_norm_`` does.

        Returns their L2 norm before clipping, a 0-d tensor, which `step` reuses. A NaN or infinite norm makes the
        gradients non-finite, as it does in torch. Raises what torch raises.
        """
        return self._update.clip_(max_norm)

    def step(
        self,
        loss: Tensor | float | None = None,
        *,
        logits: Tensor | None = None,
        targets: Tensor | None = None,
        groups: Tensor | None = None,
        epoch: int | None = None,
    ) -> None:
        """`before_step`, ``optimizer.step()``, `after_step`. Only the optimizer's own exceptions come out.

        Several optimizers step one after the other; with a ``scaler``, it steps them and is updated.
        """
        view = StepView(loss, logits, targets, groups, step=self._progress.step + 1)
        self._stepper.before(view, epoch)
        self._stepper.optimize()
        self._stepper.after()
        self._stepper.wait()

    def before_step(
        self,
        loss: Tensor | float | None = None,
        *,
        logits: Tensor | None = None,
        targets: Tensor | None = None,
        groups: Tensor | None = None,
        epoch: int | None = None,
    ) -> None:
        """Between ``loss.backward()`` and ``optimizer.step()``: measure, and set the step's learning rate.

        Args:
            loss: the training loss, a scalar.
            logits: unnormalized class scores, N x K or N x ... x K; N x K x ... where ``targets`` has that shape.
            targets: class indices, N or N x ....
            groups: a spurious attribute of each sample, as a class index, N: where it differs from the target, the
                sample is bias-conflicting.
            epoch: the current epoch, counted from 0.
        """
        view = StepView(loss, logits, targets, groups, step=self._progress.step + 1)
        self._stepper.before(view, epoch)
        self._update.leave_to_others()

    def after_step(self) -> None:
        """Right after ``optimizer.step()``, before the scheduler: report the step, and act on what was asked."""
        self._stepper.after()
        self._stepper.wait()

    def batches(self) -> Iterator[Any]:
        """One pass over ``loader``: ``for batch in guard.batches()`` in place of ``for batch in loader``.

        A restore that rewinds the data is followed at once: the pass goes on with the batch after the checkpoint.
        Raises TypeError without a ``loader``.
        """
        if self._data.loader is None:
            raise TypeError("batches() has nothing to iterate over: the guard was given no loader=")
        return self._data.batches()

    def observe(self, **values: float | Tensor) -> None:
        """Emit scalars of your own, as a sample of their own at the current step. NaN and infinities included.

        The names of trainguard's own signals are taken: such a value is left out, and said. Of several ranks, the
        mean over those that observe a name goes out, with the sample of the next step.
        """
        self._stepper.observe(values)

    def heartbeat(self) -> None:
        """Say that training is alive. For long phases without steps, which look like a hang from outside."""
        if not self._stepper.closed:
            self._stepper.heartbeat()

    def state_dict(self) -> dict[str, Any]:
        """What trainguard changed and counted, for your own checkpoints. Plain types."""
        return {"step": self._progress.step, **self._levers.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`: the step counter, and all that actions have changed. Raises ValueError."""
        try:
            step = operator.index(state["step"])
            self._levers.load_state_dict(state)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not the state of a guard: {describe(error)}") from error
        self._stepper.resume(step)

    def close(self) -> None:
        """End the run in order; afterwards the guard does nothing but step the optimizer. May be called twice."""
        self._stepper.close("stopped" if self.stopped else "finished")

    def __enter__(self) -> Self:
        self._stepper.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or _is_orderly(error):
            self.close()
        else:
            self._stepper.close("failed", describe(error))


def _is_orderly(error: BaseException) -> bool:
    """``sys.exit()`` or ``sys.exit(0)``; no framework's own kind of it, such as that of Lightning after a SIGTERM."""
    return type(error) is SystemExit and not error.code
