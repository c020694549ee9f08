"""What a scrape of a monitor over many runs costs, beside the library's own way to the same bytes.

    python -m benchmarks.scrape [RUNS]

Every run is real: a directory with telemetry, folded by a driver under the default pack. Times are medians of several
scrapes, by the clock.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import generate_latest

from trainguard_monitor.driver import Driver
from trainguard_monitor.exposition import plain_text
from trainguard_monitor.feed import Feed
from trainguard_monitor.metrics import MonitorCollector, build_registry
from trainguard_monitor.table import RulesView, RunView
from trainguard_rules import RuleBook, load_rules
from trainguard_wire import Hello, RunDirectory, RunInfo, sample_of

SCRAPES = 7
SIGNALS = ("loss", "grad_norm", "lr", "lr_scale", "weight_decay", "confidence", "activation_sparsity", "step_seconds")
ACTIONS = ("scale_lr", "restore_checkpoint", "save_checkpoint", "stop")


class Fleet:
    """A monitor as its metrics see it."""

    ready, feed = True, Feed()

    def __init__(self, directory: Path, book: RuleBook, runs: int) -> None:
        self._book = book
        self._drivers = [_driver(directory / f"run-{i:04d}", book) for i in range(runs)]

    def rules(self) -> RulesView:
        return RulesView(book=self._book, loaded_at=0.0)

    def runs(self) -> list[RunView]:
        return [driver.view() for driver in self._drivers]

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()


def _driver(path: Path, book: RuleBook) -> Driver:
    run = RunDirectory(path)
    run.create()
    run.write_info(RunInfo(run=run.name, pid=1, started=0.0, signals=SIGNALS, actions=ACTIONS))
    writer = run.write_telemetry()
    writer.append(Hello(step=0, generation=0, time=0.0, run=run.name, pid=1, signals=SIGNALS, actions=ACTIONS))
    for step in (1, 2, 3):
        writer.append(sample_of(dict.fromkeys(SIGNALS, 0.25), step=step, generation=0, time=float(step)))
    writer.close()
    driver = Driver(run, book)
    driver.drain(0.0)
    return driver


def _median(scrape: Callable[[], bytes]) -> float:
    times = []
    for _ in range(SCRAPES):
        begun = time.perf_counter()
        scrape()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), load_rules(["stability"]), runs)
        collector, registry = MonitorCollector(fleet), build_registry(fleet)  # type: ignore[arg-type]
        text = plain_text(collector)
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        print(f"{runs} runs, {series} series, {len(text) / 1e6:.1f} MB")
        print(f"plain_text       {_median(lambda: plain_text(collector)):6.3f} s")
        print(f"generate_latest  {_median(lambda: generate_latest(registry)):6.3f} s")
        fleet.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
