"""What a streaming statistic costs per sample, at a small and a large window, and against numpy.

    python -m benchmarks.windows

Each row is the median of several rounds. In a round the windows, and numpy computing the same from a deque of
the window at each sample, are timed one right after the other, by processor time. A tracker is asked and then
told, as the engine does.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import process_time_ns
from typing import Any

import numpy as np

from trainguard_rules import stats
from trainguard_rules.stats import Reference, Tracker

SMALL, LARGE = 100, 10_000
ROUNDS, CHUNK = 15, 4_000
NUMPY_SAMPLES = {SMALL: 400, LARGE: 20}  # numpy's price per sample is steady, and high
STEP, EPOCH, TIME = 1, 0.0, 0.0

Make = Callable[[int], Reference | Tracker]
Batch = Callable[[np.ndarray[Any, Any]], Any]


def numpy_slope(y: np.ndarray[Any, Any]) -> Any:
    i = np.arange(len(y)) - (len(y) - 1) / 2
    return i @ (y - y.mean()) / (i @ i)


def numpy_mad(y: np.ndarray[Any, Any]) -> Any:
    return np.median(abs(y - np.median(y)))


def normal(n: int) -> list[float]:
    return [random.gauss(2.0, 0.1) for _ in range(n)]


def truths(n: int) -> list[float]:
    return [float(random.random() < 0.3) for _ in range(n)]


ROWS: list[tuple[str, Make, Batch | None, Callable[[int], list[float]]]] = [
    ("mean", stats.Mean, np.mean, normal),
    ("std", stats.Std, partial(np.std, ddof=1), normal),
    ("min", stats.Min, np.min, normal),
    ("max", stats.Max, np.max, normal),
    ("ewma", stats.Ewma, None, normal),
    ("median", stats.Median, np.median, normal),
    ("quantile 0.9", partial(stats.Quantile, 0.9), partial(np.quantile, q=0.9), normal),
    ("mad", stats.Mad, numpy_mad, normal),
    ("prev", stats.Prev, None, normal),
    ("slope", stats.Slope, numpy_slope, normal),
    ("count", stats.Count, np.sum, truths),
    ("share", stats.Share, np.mean, truths),
    ("nonfinite", stats.NonFinite, lambda y: np.count_nonzero(~np.isfinite(y)), normal),
    ("cusum", lambda window: stats.Cusum(2.1), None, normal),
    ("best", lambda window: stats.Best(), None, normal),
    ("changed", lambda window: stats.Changed(), None, normal),
    ("since_best", lambda window: stats.SinceBest("steps"), None, normal),
    ("age", lambda window: stats.Age(), None, normal),
]


def feed(statistic: Reference | Tracker, samples: Sequence[float]) -> float:
    """Nanoseconds per sample."""
    if isinstance(statistic, Reference):
        learn = statistic.update
        start = process_time_ns()
        for x in samples:
            learn(x)
    else:
        at, update = statistic.at, statistic.update
        start = process_time_ns()
        for x in samples:
            at(x, STEP, EPOCH, TIME)
            update(x, STEP, EPOCH, TIME)
    return (process_time_ns() - start) / len(samples)


def recompute(batch: Batch, window: deque[float], samples: Sequence[float]) -> float:
    """Nanoseconds per sample."""
    start = process_time_ns()
    for x in samples:
        window.append(x)
        batch(np.array(window))
    return (process_time_ns() - start) / len(samples)


def measure(make: Make, batch: Batch | None, source: Callable[[int], list[float]]) -> list[str]:
    """Per window: our time; the ratio of the two; per window: how many times as long numpy takes.

    A round of the large window is as long as that window, so that each pays for exactly one flip of the two
    stacks.
    """
    lengths = {SMALL: CHUNK, LARGE: LARGE}
    ours = {window: make(window) for window in lengths}
    theirs = {window: deque(source(window), maxlen=window) for window in lengths}
    times: dict[int, list[float]] = {window: [] for window in lengths}
    against: dict[int, list[float]] = {window: [] for window in lengths}
    for window in lengths:
        feed(ours[window], source(2 * window))
    for _ in range(ROUNDS):
        for window, length in lengths.items():
            samples = source(length)
            times[window].append(feed(ours[window], samples))
            if batch is not None:
                numpys = recompute(batch, theirs[window], samples[: NUMPY_SAMPLES[window]])
                against[window].append(numpys / times[window][-1])
    ratio = np.median([large / small for small, large in zip(times[SMALL], times[LARGE], strict=True)])
    cells = [f"{np.median(times[window]):,.0f}" for window in lengths]
    cells.append(f"{ratio:.2f}")
    return cells + [f"{np.median(against[window]):,.0f} x" if batch is not None else "" for window in lengths]


def main() -> None:
    random.seed(1)
    head = ["statistic", f"ns, {SMALL:,}", f"ns, {LARGE:,}", "ratio", f"numpy, {SMALL:,}", f"numpy, {LARGE:,}"]
    widths = [14, 11, 11, 8, 13, 15]
    print("".join(cell.rjust(width) for cell, width in zip(head, widths, strict=True)))
    for name, make, batch, source in ROWS:
        cells = [name, *measure(make, batch, source)]
        print("".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), flush=True)


if __name__ == "__main__":
    main()
