"""trainguard in two processes, as in production: the training waits for nothing, and the monitor follows its files.

These trainings take a millisecond a step, where real ones take ten to a thousand times as long. So what the monitor
says comes some steps late, and how many depends on the machine. ``_10ms`` sleeps in each step for what is left of ten
milliseconds. These guards take part where they are asked for by name.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from benchmarks.rescue.guards.trainguard_packs import CHECKPOINT_EVERY, GuardedWatch
from benchmarks.rescue.training import Training, Watch
from trainguard import Guard
from trainguard_monitor.sidecar import Sidecar
from trainguard_wire import RunDirectory


class PackBeside:
    """A shipped pack, judged by a monitor process. A step takes ``seconds`` at least."""

    only_stops = False

    def __init__(self, name: str, pack: str, seconds: float = 0.0) -> None:
        self.name, self._pack, self._seconds = name, pack, seconds

    @contextmanager
    def watch(self, training: Training, folder: Path) -> Iterator[Watch]:
        run = RunDirectory(folder / "run")
        monitor = Sidecar.start(folder, rules=[self._pack], listen="127.0.0.1:0")
        try:
            guard = Guard(
                training.model,
                training.optimizer,
                scheduler=training.scheduler,
                run_dir=run.path,
                checkpoint_every=CHECKPOINT_EVERY,
                monitor="process",
            )
            watch = PacedWatch(training, guard, self._seconds)
            with guard:
                yield watch
        finally:
            monitor.stop()
        watch.note(run)


class PacedWatch(GuardedWatch):
    def __init__(self, training: Training, guard: Guard, seconds: float) -> None:
        super().__init__(training, guard)
        self._seconds, self._due = seconds, time.monotonic()

    def step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        super().step(step, loss, outputs, targets)
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = time.monotonic() + self._seconds


ON_REQUEST = (
    PackBeside("stability_process", "stability"),
    PackBeside("stability_process_10ms", "stability", seconds=0.01),
)
