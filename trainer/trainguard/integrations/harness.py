"""A guard over the steps of a framework: what the callbacks have in common.

The framework makes the model, the optimizer and the steps; the callback says when. A harness holds the guard while
there is a training, collects what the next step's signals look at, and keeps the guard's state from a checkpoint of
the framework until there is a guard to take it.
"""

import inspect
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from trainguard.guard import Guard
from trainguard_wire.signals import SIGNALS

_FROM_THE_FRAMEWORK = {"model", "optimizer", "scheduler", "scaler"}
_HEARTBEAT_SECONDS = 10.0


class Harness:
    """Opened when training begins and closed when it ends; may be opened again.

    ``guard`` is None before the first training. Raises TypeError for ``options`` that are no keywords of `Guard`, and
    for those that the framework knows.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        if taken := sorted(options.keys() & _FROM_THE_FRAMEWORK):
            raise TypeError(f"{', '.join(taken)} cannot be given: the framework has its own")
        inspect.signature(Guard).bind(None, None, **options)
        self.guard: Guard | None = None
        self._options = dict(options)
        self._wrapped = ExitStack()
        self._state: Mapping[str, Any] | None = None
        self._loss: Tensor | None = None
        self._predictions: dict[str, Tensor | None] = {}
        self._in_step = False
        self._last_heartbeat = 0.0

    def open(self, model: nn.Module, optimizer: Any, **parts: Any) -> None:
        """Begin a training; one that was never ended has failed. Raises what `Guard` raises."""
        self.close(RuntimeError("the training before this one was never ended"))
        self.guard = Guard(model, optimizer, **parts, **self._options)
        if self._state is not None:
            self.guard.load_state_dict(self._state)
            self._state = None
        self.guard.__enter__()
        self._loss, self._predictions = None, {}

    def wrap(self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Until the training ends, let calls of the method ``owner.name`` go through ``wrapper(method)``."""
        method, own = getattr(owner, name), vars(owner).get(name)
        setattr(owner, name, wrapper(method))
        if own is None:
            self._wrapped.callback(delattr, owner, name)
        else:
            self._wrapped.callback(setattr, owner, name, own)

    def add_loss(self, loss: Tensor) -> None:
        """The loss of a micro-batch, as its gradients have it: the sum over a step is that of the step."""
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def note(self, logits: Tensor | None, targets: Tensor | None, groups: Tensor | None) -> None:
        """What the signals of the next step look at."""
        self._predictions = {
            name: None if value is None else value.detach()
            for name, value in (("logits", logits), ("targets", targets), ("groups", groups))
        }

    def before_step(self, epoch: int) -> None:
        if self.guard is not None:
            self.guard.before_step(self._loss, **self._predictions, epoch=epoch)
            self._loss, self._predictions, self._in_step = None, {}, True

    def after_step(self) -> None:
        """After the optimizer's step, if it was begun."""
        if self.guard is not None and self._in_step:
            self._in_step = False
            self.guard.after_step()

    def observe(self, metrics: Mapping[str, Any]) -> None:
        """The framework's metrics, those that are scalars; under their names, with ``_`` for what no name may have."""
        if self.guard is not None:
            values = {re.sub(r"\W", "_", name): value for name, value in metrics.items() if _is_scalar(value)}
            self.guard.observe(**{name: value for name, value in values.items() if name not in SIGNALS})

    def heartbeat(self) -> None:
        """In a phase without steps; says something every ten seconds."""
        now = time.monotonic()
        if self.guard is not None and now - self._last_heartbeat >= _HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self.guard.heartbeat()

    @property
    def stopped(self) -> bool:
        return self.guard is not None and self.guard.stopped

    def close(self, error: BaseException | None = None) -> None:
        """End the training, as failed if there is an ``error``; unwrap what was wrapped. May be called twice."""
        self._wrapped.close()
        self._in_step = False
        if self.guard is not None:
            self.guard.__exit__(type(error) if error else None, error, None)

    def state_dict(self) -> dict[str, Any]:
        """The guard's state; empty before the first training."""
        return {} if self.guard is None else self.guard.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """For the next training that is opened."""
        self._state = state or None


def _is_scalar(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)
