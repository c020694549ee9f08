"""The loops that are compared, each over a model, an optimizer and a batch of its own.

*bare* measures nothing. *usual* is what most people have: ``clip_grad_norm_`` and ``loss.item()`` in each step.
*guarded* has the guard in place of both, with all signals at their defaults; *budget* the same with ``budget=0.01``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.overhead.models import Workload
from trainguard import Guard

Step = Callable[[], None]
MAX_NORM = 1.0


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
def bare(workload: Workload, folder: Path) -> Iterator[Step]:
    loop = Loop(workload)

    def step() -> None:
        loop.backward()
        loop.optimizer.step()

    yield step


@contextmanager
def usual(workload: Workload, folder: Path) -> Iterator[Step]:
    loop = Loop(workload)

    def step() -> None:
        loss, _ = loop.backward()
        torch.nn.utils.clip_grad_norm_(loop.model.parameters(), MAX_NORM)
        loop.optimizer.step()
        loss.item()

    yield step


@contextmanager
def guarded(workload: Workload, folder: Path, budget: float | None = None) -> Iterator[Step]:
    loop = Loop(workload)
    run = folder / f"guarded-{budget}"
    with Guard(loop.model, loop.optimizer, run_dir=run, checkpoint_every=None, budget=budget) as guard:

        def step() -> None:
            loss, logits = loop.backward()
            guard.clip_(MAX_NORM)
            guard.step(loss, logits=logits, targets=loop.y)

        yield step


@contextmanager
def within_budget(workload: Workload, folder: Path) -> Iterator[Step]:
    with guarded(workload, folder, budget=0.01) as step:
        yield step


LOOPS = {"bare": bare, "usual": usual, "guarded": guarded, "budget": within_budget}
