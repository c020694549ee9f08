"""A monitor over a thousand runs. Run: python -m benchmarks.scrape [RUNS]

Real run directories, followed by a real monitor process under the default pack: half of the runs have ended, half are
idle. Printed is how long a scrape takes over HTTP as Prometheus asks for it and in plain text (medians by the clock),
what a run costs in memory, and what the monitor's loop takes while nothing happens. The library's own way to the same
bytes is beside it, in this process and over the same number of runs.
"""

import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.openmetrics import exposition as openmetrics

from benchmarks.processes import SIGNALS, Monitor, Writer, monitor
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.metrics.collector import build_registry
from trainguard_monitor.views.table import RulesView, RunView
from trainguard_rules import load_rules
from trainguard_wire import RunDirectory

SCRAPES, IDLE_SECONDS, STEPS = 7, 15.0, 20
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Still:
    """One run as often as there are runs, for the library to write."""

    def __init__(self, view: RunView, runs: int) -> None:
        self._views = [view] * runs

    def rules(self) -> RulesView:
        return RulesView(book=load_rules(["stability"]), loaded_at=0.0)

    def runs(self) -> list[RunView]:
        return self._views


def write_runs(directory: Path, runs: int) -> None:
    for i in range(runs):
        writer = Writer(directory / f"run-{i:04d}")
        for _ in range(STEPS):
            writer.sample(dict.fromkeys(SIGNALS, 0.25))
        (writer.goodbye if i % 2 else writer.close)()


def scrape(url: str, accept: str) -> bytes:
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def median(what: Callable[[], object], times: int = SCRAPES) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def settle(daemon: Monitor, runs: int) -> float:
    """Until all runs are followed to their last step; seconds."""
    began = time.monotonic()
    last = re.compile(rb'^trainguard_run_step\{run="run-\d+"\} %d\.0$' % STEPS, re.MULTILINE)
    while len(last.findall(scrape(daemon.url, "text/plain"))) < runs:
        time.sleep(0.5)
    return time.monotonic() - began


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        alone, many = Path(folder) / "alone", Path(folder) / "many"
        write_runs(alone, 1)
        write_runs(many, runs)
        with monitor(alone, "stability") as daemon:
            settle(daemon, 1)
            one = daemon.megabytes
        with monitor(many, "stability") as daemon:
            print(f"{runs} runs, all followed {settle(daemon, runs):.1f} s after the monitor was ready")
            text = scrape(daemon.url, OPENMETRICS)
            series = sum(not line.startswith(b"#") for line in text.splitlines())
            print(f"a scrape has {series} series, {len(text) / 1e6:.1f} MB")
            for name, accept in (("OpenMetrics", OPENMETRICS), ("plain text", "text/plain")):
                print(f"  {name:<12} {median(lambda accept=accept: scrape(daemon.url, accept)):6.3f} s")
            library(alone, runs)
            print(f"memory {daemon.megabytes:.0f} MB, {1000 * (daemon.megabytes - one) / runs:.0f} kB a run")
            print(f"while nothing happens: {daemon.load(IDLE_SECONDS):.1f} % of a core")


def library(alone: Path, runs: int) -> None:
    driver = Driver(RunDirectory(alone / "run-0000"), load_rules(["stability"]))
    driver.drain(0.0)
    registry = build_registry(Still(driver.view(), runs))  # type: ignore[arg-type]
    print(f"  {'the library':<12} {median(lambda: openmetrics.generate_latest(registry), 3):6.3f} s")  # type: ignore[no-untyped-call]
    driver.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
