"""Several loops timed side by side: short blocks that take turns, in one process, and the ratio of each round.

What a guard does depends on the number of the step: most steps measure only what is cheap, each tenth and each
hundredth more. So a block is a few ordinary steps, whose median counts, a tenth and a hundredth one, and the time of a
step is their mean, weighted as often as each comes. A machine that is busy for a while slows all blocks of a round, and
the median over rounds passes over the worst. In training a loop follows itself, and finds its own code and data in the
caches; so a block begins with a step that is not timed, and who comes after whom is drawn anew for each round. Where
the memory of a loop happens to lie makes a percent; so all loops are made anew three times, in another order.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from benchmarks.overhead.loops import Timed, bare, loops, watching
from benchmarks.overhead.models import Workload

TIMES_MADE, WARMUP_ROUNDS = 3, 1
KINDS = {1: 0.90, 10: 0.09, 100: 0.01}  # the number of a step of each kind, and how often such a step comes
Times = dict[str, list[float]]


def times(workload: Workload, rounds: int) -> Times:
    """Seconds per step of each loop, in each round."""
    found: Times = {name: [] for name in loops()}
    draw = Random(0)
    for _ in range(TIMES_MADE):
        for name, seconds in _made_once(workload, ceil(rounds / TIMES_MADE), draw).items():
            found[name] += seconds
    return found


def _made_once(workload: Workload, rounds: int, draw: Random) -> Times:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, _without_collections():
        makers = loops()
        names = list(makers)
        draw.shuffle(names)
        timed = {name: stack.enter_context(makers[name](workload, Path(folder))) for name in names}
        found: Times = {name: [] for name in names}
        for number in range(-WARMUP_ROUNDS, rounds):
            draw.shuffle(names)
            for name in names:
                seconds = _block(timed[name], workload.steps)
                if number >= 0:
                    found[name].append(seconds)
        return found


def within_budget(workload: Workload, rounds: int, warmup: int) -> tuple[Times, float]:
    """Seconds per step of the bare loop, and of one with ``budget=0.01``; and the share of it that the guard took."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, _without_collections():
        plain = stack.enter_context(bare(workload, Path(folder))).step
        step, guard = stack.enter_context(watching(workload, Path(folder) / "budget", budget=0.01))
        for _ in range(warmup):
            step()
        found: Times = {"bare": [], "budget": []}
        for number in range(rounds):
            for name in ("bare", "budget") if number % 2 else ("budget", "bare"):
                loop = plain if name == "bare" else step
                loop()
                found[name].append(_time(loop, 2 * workload.steps))
        return found, guard.last.get("overhead_ratio", float("nan"))


def ratio(found: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over rounds of how many times as long ``one`` takes as ``other``."""
    return median(a / b for a, b in zip(found[one], found[other], strict=True))


def _block(timed: Timed, number: int) -> float:
    seconds = 0.0
    timed.go_to(1)
    timed.step()
    for step, share in KINDS.items():
        timed.go_to(step)
        seconds += share * median(_time(timed.step, 1) for _ in range(number if step == 1 else 1))
    return seconds


def _time(step: Callable[[], None], number: int) -> float:
    began = perf_counter()
    for _ in range(number):
        step()
    return (perf_counter() - began) / number


@contextmanager
def _without_collections() -> Iterator[None]:
    """A collection of garbage falls on whoever happens to be timed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
