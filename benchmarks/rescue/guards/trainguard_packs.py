"""trainguard itself: the real guard and the real engine, judging each step in the training process, by a shipped pack.

A checkpoint each 25 steps, since the default of 500 would leave these short trainings little to go back to. An
intervention is a decision to act; what a restore went back over is wasted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from benchmarks.rescue.fates import fates_of
from benchmarks.rescue.training import Training, Watch
from trainguard import Guard
from trainguard_wire import RunDirectory

CHECKPOINT_EVERY = 25


class Pack:
    """A shipped pack, judged in the training process."""

    only_stops = False

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        guard = Guard(
            training.model,
            training.optimizer,
            scheduler=training.scheduler,
            run_dir=folder / "run",
            checkpoint_every=CHECKPOINT_EVERY,
            monitor="embedded",
            rules=self.name,
        )
        watch = GuardedWatch(training, guard)
        with guard:
            yield watch
        watch.note(RunDirectory(folder / "run"))


class GuardedWatch(Watch):
    def __init__(self, training: Training, guard: Guard) -> None:
        super().__init__(training)
        self._guard = guard

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        classes = not targets.is_floating_point()
        self._guard.step(loss, logits=outputs if classes else None, targets=targets if classes else None)
        self.stopped = self._guard.stopped

    def note(self, run: RunDirectory) -> None:
        """Read from the journal what was done."""
        self.fates = fates_of(run)
        self.acted = [fate.step for fate in self.fates]
        self.wasted = sum(fate.wasted for fate in self.fates)


GUARDS = (Pack("seed_guards"), Pack("stability"))
