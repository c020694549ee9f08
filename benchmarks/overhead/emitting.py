"""One sample of 16 values, written in the loop of the MLP: beside a bare append, and beside trackers that are there.

The writers take turns in blocks, in an order that is drawn anew each time, so that a machine that is busy for a while
slows all of them.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from math import ceil
from pathlib import Path
from random import Random
from time import perf_counter

from benchmarks.overhead.loops import Loop
from benchmarks.overhead.models import WORKLOADS
from trainguard_wire import encode, sample_of
from trainguard_wire.segments import SegmentWriter

VALUES = {f"signal_{i}": 1.0 / (i + 3) for i in range(16)}
Emit = Callable[[int], object]
BLOCK = 50


@contextmanager
def _append(folder: Path) -> Iterator[Emit]:
    line = encode(sample_of(VALUES, step=1, generation=0, time=0.0))
    file = os.open(folder / "bare.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    yield lambda step: os.write(file, line)
    os.close(file)


@contextmanager
def _trainguard(folder: Path) -> Iterator[Emit]:
    writer = SegmentWriter(folder)
    yield lambda step: writer.append(sample_of(VALUES, step=step, generation=0, time=float(step)))
    writer.close()


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Emit]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]
    yield lambda step: [writer.add_scalar(name, value, step) for name, value in VALUES.items()]
    writer.close()


@contextmanager
def _wandb(folder: Path) -> Iterator[Emit]:
    import wandb

    run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
    yield lambda step: run.log(VALUES, step=step)
    run.finish()


WRITERS = {"os.write": _append, "trainguard": _trainguard, "TensorBoard": _tensorboard, "wandb": _wandb}
NEEDS = {"TensorBoard": "tensorboard", "wandb": "wandb"}


def microseconds(steps: int) -> dict[str, list[float]]:
    """What each sample took, by writer; those whose package is not installed are left out, and that is said."""
    loop, draw, numbers = Loop(WORKLOADS[0]), Random(0), count(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        emits: dict[str, Emit] = {}
        for name, make in WRITERS.items():
            if importlib.util.find_spec(NEEDS.get(name, "os")) is None:
                print(f"{name} is not installed, and not timed")
                continue
            emits[name] = stack.enter_context(make(Path(folder)))
        found: dict[str, list[float]] = {name: [] for name in emits}
        names = list(emits)
        for _ in range(ceil(steps / BLOCK)):
            draw.shuffle(names)
            for name in names:
                found[name] += [1e6 * _timed(loop, emits[name], next(numbers)) for _ in range(BLOCK)]
    return found


def _timed(loop: Loop, emit: Emit, step: int) -> float:
    loop.backward()
    loop.optimizer.step()
    began = perf_counter()
    emit(step)
    return perf_counter() - began
