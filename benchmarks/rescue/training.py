"""One training, as every fault and every guard sees it.

The loop is the plain one. A fault may strike in four places of it: the batch, the state before the forward pass,
the loss, and the gradients. A guard takes the place of ``optimizer.step()``, and may end the loop.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from benchmarks.rescue.fates import Fate

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training about to begin. ``validate`` is the loss on held-out data; ``switch`` makes a batch of other data.

    ``switch`` is a change of the data mix that a healthy training lives with: another distribution, as hard to learn.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    batches: Iterator[Batch]
    criterion: Callable[[Tensor, Tensor], Tensor]
    validate: Callable[[], float]
    switch: Callable[[Tensor, Tensor], Batch]
    steps: int


class Workload(Protocol):
    """``tuned``: the thresholds of the shipped packs were chosen while looking at it."""

    name: str
    tuned: bool

    def make(self, seed: int) -> Training:
        """A fresh training; all that is random in it follows from ``seed``."""


class Fault:
    """Something that goes wrong from the step ``self.at`` on. Harmless in all its parts: each fault overrides some.

    ``healthy`` faults are none: a guard that acts on one raises a false alarm. ``hopeless`` ones nobody can mend from
    within the training: the best is to stop. They take part where they are asked for by name.
    """

    name: str
    healthy = False
    hopeless = False

    def __init__(self, training: Training, at: int, generator: torch.Generator) -> None:
        self.training, self.at, self.generator = training, at, generator

    @classmethod
    def applies(cls, training: Training) -> bool:
        """Whether this training can have the fault at all."""
        return True

    def batch(self, step: int, x: Tensor, y: Tensor) -> Batch:
        return x, y

    def before(self, step: int) -> None:
        """Before the forward pass of ``step``."""

    def loss(self, step: int, loss: Tensor) -> Tensor:
        return loss

    def gradients(self, step: int) -> None:
        """After the backward pass of ``step``."""


@dataclass
class Watch:
    """A guard at work on one training. ``acted`` are the steps in which it changed the course of the training.

    ``fates``: what became of each intervention, where the guard keeps a journal.
    """

    training: Training
    acted: list[int] = field(default_factory=list)
    wasted: int = 0
    fates: list[Fate] = field(default_factory=list)
    stopped: bool = False

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """In place of ``optimizer.step()``."""
        self.training.optimizer.step()

    def act(self, step: int, *, wasted: int = 0) -> None:
        """Note an intervention, and how many steps of work it threw away."""
        self.acted.append(step)
        self.wasted += wasted


@contextmanager
def scaled(optimizer: Optimizer, factor: float) -> Iterator[None]:
    """With its learning rates times ``factor``, which a scheduler would otherwise write over."""
    plain = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] *= factor
    yield
    for group, lr in zip(optimizer.param_groups, plain, strict=True):
        group["lr"] = lr


class GuardKind(Protocol):
    """A guard. ``only_stops``: all that it can do is end the training."""

    name: str
    only_stops: bool

    def watch(self, training: Training, folder: Path) -> AbstractContextManager[Watch]:
        """Begin to watch; ``folder`` is empty, for what it has to write."""


def run(training: Training, fault: Fault, watch: Watch) -> int | None:
    """Train to the end, or until the guard stops it; returns the step at which it did."""
    for step in range(1, training.steps + 1):
        x, y = fault.batch(step, *next(training.batches))
        fault.before(step)
        training.optimizer.zero_grad()
        outputs = training.model(x)
        loss = fault.loss(step, training.criterion(outputs, y))
        loss.backward()  # type: ignore[no-untyped-call]
        fault.gradients(step)
        watch.step(step, loss.detach(), outputs.detach(), y)
        training.scheduler.step()
        if watch.stopped:
            return step
    return None


def validated(training: Training) -> float:
    """The validation loss now; NaN where it is not finite."""
    training.model.eval()
    with torch.no_grad():
        loss = training.validate()
    return loss if isfinite(loss) else nan
