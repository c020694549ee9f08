"""Trainings that end while the thread that writes checkpoints is at work, one after the other.

Run as ``python -m tests.trainer.checkpoints.exiting FOLDER TIMES`` by test_writer.py. Torch is imported once, and
each training is a forked process that comes to its end as any does, with the guard not closed. Where the exit of the
interpreter meets the thread while that frees a tensor, the process is aborted: there are many tensors, and the
trainings last a little longer from one to the next, so that they end at every point of the writing. Prints how they
ended.
"""

import gc
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import torch

from trainguard import Guard

AT_ONCE = 2
SWEEP = 4e-3  # seconds: about what writing takes


def train(folder: Path, pause: float) -> Guard:
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(300)))
    guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), run_dir=folder, checkpoint_every=1)
    for _ in range(2):
        model(torch.ones(1, 8)).sum().backward()
        guard.step()
    time.sleep(pause)
    return guard


def begin(folder: Path, pause: float) -> None:
    """A training in a process of its own."""
    if os.fork() == 0:
        guard = train(folder, pause)
        sys.exit(guard.lost)


def ending() -> str:
    """How the next of them ends: ``exit 0`` where all is well."""
    _, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    train(folder / "first", 0.0).close()  # what torch imports on the way, it imports once
    gc.collect()
    gc.freeze()  # what has been imported is no garbage, and a process that ends need not look for any in it
    found = Counter[str]()
    for number in range(times):
        begin(folder / str(number), SWEEP * number / times)
        if number >= AT_ONCE - 1:
            found[ending()] += 1
    found.update(ending() for _ in range(min(AT_ONCE - 1, times)))
    print(*(f"{number} x {what}" for what, number in found.items()), sep=", ")


if __name__ == "__main__":
    main()
