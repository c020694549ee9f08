"""The loops that are compared, each over a model, an optimizer and a batch of its own.

*bare* measures nothing. *usual* is what most people have: ``clip_grad_norm_`` and ``loss.item()`` in each step; *usual
again* is the same once more, and tells what the comparison resolves. *guarded* has the guard in place of both, all
signals at their defaults; *measured* has it in a loop that does not clip. Trackers come in where they are installed:
they log loss and norm in each step of the usual loop; Lightning has that loop, and its own logger.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.overhead import frameworks
from benchmarks.overhead.models import Workload
from trainguard import Guard

MAX_NORM = 1.0


def _anywhere(step: int) -> None:
    """For loops in which each step is like any other."""


class Timed(NamedTuple):
    """``step`` makes the next step; ``go_to`` makes that the one with this number, which decides what is due in it."""

    step: Callable[[], None]
    go_to: Callable[[int], None] = _anywhere


class Loop:
    """One training, a step at a time."""

    def __init__(self, workload: Workload) -> None:
        torch.manual_seed(0)
        self.model = workload.model()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.x, self.y = workload.batch()

    def backward(self) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad()
        logits = self.model(self.x)
        loss = nn.functional.cross_entropy(logits.flatten(0, -2), self.y.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss, logits


@contextmanager
def bare(workload: Workload, folder: Path) -> Iterator[Timed]:
    loop = Loop(workload)

    def step() -> None:
        loop.backward()
        loop.optimizer.step()

    yield Timed(step)


@contextmanager
def usual(
    workload: Workload,
    folder: Path,
    log: Callable[[float, float], object] | None = None,
    watch: Callable[[nn.Module], object] | None = None,
) -> Iterator[Timed]:
    loop = Loop(workload)
    if watch is not None:
        watch(loop.model)

    def step() -> None:
        loss, _ = loop.backward()
        norm = torch.nn.utils.clip_grad_norm_(loop.model.parameters(), MAX_NORM)
        loop.optimizer.step()
        value = loss.item()
        if log is not None:
            log(value, norm.item())

    yield Timed(step)


@contextmanager
def guarded(workload: Workload, folder: Path) -> Iterator[Timed]:
    loop = Loop(workload)
    with Guard(loop.model, loop.optimizer, run_dir=folder / "guarded", checkpoint_every=None) as guard:

        def step() -> None:
            loss, logits = loop.backward()
            guard.clip_(MAX_NORM)
            guard.step(loss, logits=logits, targets=loop.y)

        yield Timed(step, _going_to(guard))


@contextmanager
def measured(workload: Workload, folder: Path) -> Iterator[Timed]:
    with watching(workload, folder / "measured") as (step, guard):
        yield Timed(step, _going_to(guard))


@contextmanager
def watching(workload: Workload, run: Path, **options: Any) -> Iterator[tuple[Callable[[], None], Guard]]:
    """The bare loop with a guard, which does not clip."""
    loop = Loop(workload)
    with Guard(loop.model, loop.optimizer, run_dir=run, checkpoint_every=None, **options) as guard:

        def step() -> None:
            loss, logits = loop.backward()
            guard.step(loss, logits=logits, targets=loop.y)

        yield step, guard


def _going_to(guard: Guard) -> Callable[[int], None]:
    return lambda step: guard.load_state_dict({**guard.state_dict(), "step": step - 1})


@contextmanager
def tensorboard(workload: Workload, folder: Path) -> Iterator[Timed]:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]
    steps = iter(range(1 << 30))

    def log(loss: float, norm: float) -> None:
        step = next(steps)
        writer.add_scalar("loss", loss, step)
        writer.add_scalar("grad_norm", norm, step)

    with usual(workload, folder, log) as timed:
        yield timed
    writer.close()


@contextmanager
def wandb(workload: Workload, folder: Path) -> Iterator[Timed]:
    import wandb as tracker

    run = tracker.init(mode="offline", dir=folder, settings=tracker.Settings(silent=True))
    watch = partial(run.watch, log="all", log_freq=100)  # histograms, as often as the guard measures what is costly
    with usual(workload, folder, lambda loss, norm: run.log({"loss": loss, "grad_norm": norm}), watch) as timed:
        yield timed
    run.finish()


@contextmanager
def lightning(workload: Workload, folder: Path) -> Iterator[Timed]:
    with frameworks.lightning(workload, folder, MAX_NORM) as step:
        yield Timed(step)


def loops() -> dict[str, Callable[[Workload, Path], Any]]:
    """All that can run here, by name."""
    ours = {"bare": bare, "usual": usual, "usual again": usual, "guarded": guarded, "measured": measured}
    others = {
        "TensorBoard": ("tensorboard", tensorboard),
        "wandb": ("wandb", wandb),
        "Lightning": ("lightning", lightning),
    }
    return ours | {name: make for name, (package, make) in others.items() if find_spec(package) is not None}
