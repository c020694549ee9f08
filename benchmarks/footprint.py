"""What a monitor process over one run takes. Run: python -m benchmarks.footprint [--seconds N]

From start to ready; resident memory; and processor time while the run brings a hundred samples a second of sixteen
signals, under twenty rules with windows of 128 in twelve of them, none of which fires. The load is measured in
stretches of two seconds, and the median of them is printed: on a shared machine others take their part of single ones.

It is measured twice: beside a load of lowest priority on every core, as a training is one, and on cores that are idle
but for the monitor. Those fall asleep between two samples, and what wakes up cold takes about twice as long.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import engine
from benchmarks.processes import Monitor, Writer, monitor

STARTS, PERIOD, STRETCH = 5, 0.010, 2.0
LOAD = "import os; os.nice(19)\nwhile True: pass"


@contextmanager
def busy() -> Iterator[None]:
    """Every core awake."""
    load = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()


def write(writer: Writer, stop: threading.Event) -> None:
    due = time.monotonic()
    for sample in engine.samples(10**9):
        if stop.is_set():
            return
        writer.sample(sample.values)
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rules, runs = Path(folder) / "rules.yaml", Path(folder) / "runs"
        rules.write_text(engine.rules(128))
        writer, stop = Writer(runs / "a"), threading.Event()
        ready = []
        for _ in range(STARTS):
            with monitor(runs, rules) as daemon:
                ready.append(daemon.seconds)
        training = threading.Thread(target=write, args=(writer, stop))
        training.start()
        try:
            with monitor(runs, rules) as daemon:
                time.sleep(3.0)
                with busy():
                    awake = _loads(daemon, seconds / 2)
                idle = _loads(daemon, seconds / 2)
                memory = daemon.megabytes
        finally:
            stop.set()
            training.join()
    print(f"ready after {statistics.median(ready):.2f} s (of {STARTS} starts {min(ready):.2f} to {max(ready):.2f})")
    print(f"memory with one run: {memory:.0f} MB resident")
    print(f"100 samples a second, 20 rules: {awake} beside a load, {idle} on cores that are idle otherwise")


def _loads(daemon: Monitor, seconds: float) -> str:
    loads = [daemon.load(STRETCH) for _ in range(int(seconds / STRETCH))]
    return f"{statistics.median(loads):.1f} % of a core ({min(loads):.1f} to {max(loads):.1f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="how long to measure the load")
    main(parser.parse_args().seconds)
