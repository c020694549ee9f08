"""What a sample costs the engine. Run: python -m benchmarks.engine [--long]

Twenty rules over sixteen signals, windows of 128 in twelve of them, policy and states included, against the same
conditions with their windows recomputed by numpy for every sample; windows of 10,000 against windows of 100; and
memory over a long run.

Rates are by processor time: what a core to oneself gives by the wall clock. They are taken in many short rounds, in
each of which everything compared takes its turn, and medians over the rounds are printed.
"""

import argparse
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import numpy as np
import psutil

from trainguard_rules import Engine, load_text
from trainguard_wire import Hello, Sample, sample_of

SIGNALS = ["loss", "grad_norm", *(f"s{i}" for i in range(2, 16))]
CONDITIONS = [
    "{x} > 10",
    "not isfinite({x})",
    "{x} > 4 * mean({x}, W)",
    "{x} > 3 * median({x}, W)",
    "{x} > 2 * prev({x}) + 3",
    "zscore({x}, W) > 12",
    "{x} > 3 * ewma({x}, W)",
    "{x} > 3 * max({x}, W)",
    "abs({x} - mean({x}, W)) > 5 * abs(mean({x}, W))",
    "0.01 > {x}",
]
# The same with windows in three rules of ten, about as in the shipped packs.
SPARSE = [c if "W" not in c or i in (2, 3, 5) else "{x} > 1e3 or 0.001 > {x}" for i, c in enumerate(CONDITIONS)]
ROUNDS, CHUNK, FEW = 60, 1_000, 20  # numpy's price per sample is steady, and high
SMALL, LARGE, TURNS = 100, 10_000, 7


def conditions(kinds: list[str] = CONDITIONS) -> list[tuple[str, str]]:
    """Twenty conditions, each with the signal it looks at."""
    return [(SIGNALS[i % 16], kinds[i % len(kinds)].format(x=SIGNALS[i % 16])) for i in range(20)]


def rules(window: int, texts: list[str] | None = None) -> str:
    """A rule file with these conditions, or the twenty."""
    text = f"params: {{W: {window}}}\nsignals: [{', '.join(SIGNALS[2:])}]\ngroups:\n  - name: bench\n    rules:\n"
    for i, condition in enumerate(texts or [condition for _, condition in conditions()]):
        text += (
            f"      - {{guard: R{i}, expr: '{condition}', for: 2 steps, cooldown: 10 steps, limit: 5 per 1000 steps,\n"
        )
        text += "         actions: [{scale_lr: {factor: 0.5}}]}\n"
    return text


def samples(number: int) -> Iterator[Sample]:
    chance = random.Random(0)
    for step in range(1, number + 1):
        values = {name: chance.gauss(1.0, 0.1) for name in SIGNALS}
        yield sample_of(values, step=step, generation=0, time=float(step), epoch=0)


def engine(window: int, texts: list[str] | None = None) -> Engine:
    made = Engine(load_text(rules(window, texts)))
    made.feed(Hello(step=0, generation=0, time=0.0, run="bench", pid=1, signals=(), actions=("scale_lr",)))
    return made


class Naive:
    """The same conditions, with every window recomputed by numpy for every sample; no states, no policy."""

    def __init__(self, window: int) -> None:
        self.window = window
        chance = random.Random(1)
        self.pasts = {name: deque((chance.gauss(1.0, 0.1) for _ in range(window)), maxlen=window) for name in SIGNALS}
        self.ewmas = dict.fromkeys(SIGNALS, 1.0)
        self.alpha = 2 / (window + 1)

    def feed(self, sample: Sample) -> list[bool]:
        values = sample.values
        found = [self._holds(i % len(CONDITIONS), values[name], name) for i, (name, _) in enumerate(conditions())]
        for name, x in values.items():
            self.pasts[name].append(x)
            self.ewmas[name] += self.alpha * (x - self.ewmas[name])
        return found

    def _holds(self, kind: int, x: float, name: str) -> bool:
        past = self.pasts[name]
        match kind:
            case 2:
                return bool(x > 4 * np.mean(past))
            case 3:
                return bool(x > 3 * np.median(past))
            case 4:
                return x > 2 * past[-1] + 3
            case 5:
                return bool((x - np.mean(past)) / np.std(past, ddof=1) > 12)
            case 6:
                return x > 3 * self.ewmas[name]
            case 7:
                return bool(x > 3 * np.max(past))
            case 8:
                return bool(abs(x - np.mean(past)) > 5 * abs(np.mean(past)))
            case _:
                return x > 10 if kind == 0 else not np.isfinite(x) if kind == 1 else x < 0.01


def rate(feed: Callable[[Sample], object], fed: list[Sample]) -> float:
    """Samples a second."""
    began = time.process_time()
    for sample in fed:
        feed(sample)
    return len(fed) / (time.process_time() - began)


def against_numpy() -> None:
    fed = list(samples(ROUNDS * CHUNK))
    ours, fewer, naive = engine(128), engine(128, [condition for _, condition in conditions(SPARSE)]), Naive(128)
    rounds = []
    for k in range(0, len(fed), CHUNK):
        chunk = fed[k : k + CHUNK]
        rounds.append((rate(ours.feed, chunk), rate(fewer.feed, chunk), rate(naive.feed, chunk[:FEW])))
    ratio = statistics.median(ours / naive for ours, _, naive in rounds)
    names = ("20 rules, 16 signals, 12 windows of 128", "with 6 windows", "the 12 recomputed with numpy")
    for name, rates in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"{name:<40} {statistics.median(rates):9,.0f} samples/s (best {max(rates):,.0f})")
    print(f"{'numpy takes':<40} {ratio:9.0f} times as long")


def by_window() -> None:
    """Each round is as long as the large window, so that it pays for exactly one flip of its stacks."""
    stream = cycle(list(samples(LARGE * 5 // 2)))  # what comes is never what leaves
    print(f"cost per sample, window {LARGE:,} over window {SMALL}:")
    windows = [*(c for c in CONDITIONS if "W" in c), "robust_zscore({x}, W) > 12", "{x} > 3 * quantile({x}, 0.9, W)"]
    for name, texts in (("all 20 rules", None), *((c, [c.format(x="loss")] * 4) for c in windows)):
        small, large = engine(SMALL, texts), engine(LARGE, texts)
        ratios = []
        for _ in range(TURNS + 1):
            chunk = list(islice(stream, LARGE))
            ratios.append(rate(small.feed, chunk) / rate(large.feed, chunk))
        print(f"  {name:<50} {statistics.median(ratios[1:]):.2f}")  # in the first, windows fill up


def memory(number: int) -> None:
    made, process = engine(128), psutil.Process()
    marks = []
    for i, sample in enumerate(samples(number), 1):
        made.feed(sample)
        if i in (number // 100, number // 10, number):
            marks.append(f"{process.memory_info().rss / 1e6:.1f} MB after {i:,}")
    print(f"resident: {', '.join(marks)} samples")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="memory over 10,000,000 samples instead of 300,000")
    options = parser.parse_args()
    against_numpy()
    by_window()
    memory(10_000_000 if options.long else 300_000)
