"""Several loops timed side by side: short blocks that take turns, in one process, and the ratio of each round.

A machine that is busy for a while slows all blocks of a round, and the median over rounds passes over the worst.
"""

import gc
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.overhead.loops import LOOPS, Step
from benchmarks.overhead.models import Workload

WARMUP_BLOCKS = 3


def times(workload: Workload, rounds: int) -> dict[str, list[float]]:
    """Seconds per step of each loop, in each round."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        steps = {name: stack.enter_context(make(workload, Path(folder))) for name, make in LOOPS.items()}
        for _ in range(WARMUP_BLOCKS):
            for step in steps.values():
                _block(step, workload.steps)
        found: dict[str, list[float]] = {name: [] for name in steps}
        gc.disable()
        try:
            for i in range(rounds):
                order = list(steps)[i % len(steps) :] + list(steps)[: i % len(steps)]
                for name in order:
                    found[name].append(_block(steps[name], workload.steps))
        finally:
            gc.enable()
        return found


def ratio(found: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over rounds of how many times as long ``one`` takes as ``other``."""
    return median(a / b for a, b in zip(found[one], found[other], strict=True))


def _block(step: Step, number: int) -> float:
    began = perf_counter()
    for _ in range(number):
        step()
    return (perf_counter() - began) / number
