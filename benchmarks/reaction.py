"""How soon a trainer sees what the monitor does about a sample. Run: python -m benchmarks.reaction [--seconds N]

A monitor process follows a run of 100 samples a second, each 10 ms after the one before, give or take 5 %, under twenty
quiet rules and one that answers every tenth sample. Timed is what a trainer would see: from the moment that the sample
is about to be written, through the run directory, to the moment that the intervention can be read from control.

Timed apart is the first sample after a second of silence, which no rhythm foretells.

The floor beside it, in turns of a second each in the same run, is a process that watches the same kind of file with raw
inotify, judges nothing, and writes the same kind of answer. It is woken by each write, which the writer pays for: the
cost of a write is printed, too.
"""

import argparse
import ctypes
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import engine
from benchmarks.processes import Writer, monitor
from trainguard_wire import Action, Intervention, RunDirectory
from trainguard_wire.codec import encode
from trainguard_wire.segments import segment_path

PERIOD, JITTER, EVERY, TURN, PATIENCE = 0.010, 0.05, 10, 1.0, 0.5
MARK = b'"probe":1.0'
PROBE = "      - {guard: Probe, expr: 'probe > 0', actions: [{scale_lr: {factor: 0.5}}]}\n"


def rules() -> str:
    """The twenty of `engine`, and the one that answers."""
    text = engine.rules(128).replace("s15]", "s15, probe]")
    return "settle: 0 steps\n" + text + PROBE


class Lane:
    """One run, one who answers: what is written, and when its answer came."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer(path)
        self._control = self.writer.run.read_control()
        self._chance = random.Random(0)
        self._asked: dict[int, float] = {}
        self.latencies: list[float] = []
        self.first: list[float] = []
        self._first = 1
        self.unanswered = 0
        self.writes: list[float] = []

    def turn(self, seconds: float) -> None:
        """Train for so long."""
        end = due = time.perf_counter()
        end += seconds
        self._first = self.writer.step + 1
        while due < end + (PATIENCE if self._asked else 0.0):
            self._step(asks=due < end)
            due += PERIOD * self._chance.uniform(1 - JITTER, 1 + JITTER)
            self._compute(due)
        self.unanswered += len(self._asked)
        self._asked.clear()

    def _step(self, asks: bool) -> None:
        values = {name: self._chance.gauss(1.0, 0.1) for name in engine.SIGNALS}
        asks = asks and (self.writer.step + 1 - self._first) % EVERY == 0
        values["probe"] = float(asks)
        began = time.perf_counter()
        self.writer.sample(values)
        self.writes.append(time.perf_counter() - began)
        if asks:
            self._asked[self.writer.step] = began

    def _compute(self, until: float) -> None:
        """Keep the processor busy, as training does, and look for answers all the while."""
        answered: list[Intervention] = []
        while (now := time.perf_counter()) < until:
            for message in self._control.read():
                if isinstance(message, Intervention) and message.step in self._asked:
                    waited = now - self._asked.pop(message.step)
                    (self.first if message.step == self._first else self.latencies).append(waited)
                    answered.append(message)
        for intervention in answered:
            self.writer.acknowledge(intervention)


def echo(path: Path) -> None:
    """Answer each sample with the mark, woken by raw inotify."""
    run = RunDirectory(path)
    libc = ctypes.CDLL(None, use_errno=True)
    watching, file = libc.inotify_init1(0), segment_path(run.telemetry, 1)
    libc.inotify_add_watch(watching, os.fsencode(file), 0x2)  # IN_MODIFY
    telemetry, control = os.open(file, os.O_RDONLY), run.write_control()
    os.lseek(telemetry, 0, os.SEEK_END)
    (path / "watched").touch()
    while os.read(watching, 4096):
        for line in os.read(telemetry, 1 << 20).splitlines():
            if MARK in line:
                step = int(line.split(b'"step":', 1)[1].split(b",", 1)[0])
                action = Action(id=f"P.{step}.0", kind="scale_lr", params={"factor": 0.5})
                told = Intervention(
                    id=f"P.{step}",
                    rule="Probe",
                    step=step,
                    generation=0,
                    expires_step=step + 100,
                    actions=(action,),
                    reason="",
                )
                control.append_lines(encode(told))


def show(name: str, lane: Lane) -> None:
    found = sorted(lane.latencies)
    asked = len(found) + lane.unanswered
    median, late = statistics.median(found), found[min(len(found) - 1, int(0.99 * len(found)))]
    cost = statistics.median(lane.writes)
    print(
        f"{name:<14} {len(found)} of {asked} answered: median {1e3 * median:6.2f} ms, 99 % {1e3 * late:6.2f} ms, "
        f"worst {1e3 * found[-1]:6.2f} ms; a write takes {1e6 * cost:.0f} µs"
    )


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, runs = Path(folder) / "rules.yaml", Path(folder) / "runs"
        file.write_text(rules())
        judged, floor = Lane(runs / "judged"), Lane(Path(folder) / "floor")
        watcher = subprocess.Popen([sys.executable, "-m", "benchmarks.reaction", "--echo", floor.writer.run.path])
        try:
            with monitor(runs, file) as daemon:
                while not (floor.writer.run.path / "watched").exists():
                    time.sleep(0.01)
                judged.turn(TURN)  # the windows fill up
                judged.latencies.clear()
                judged.first.clear()
                cpu, spent = 0.0, 0.0
                while spent < seconds:
                    before = daemon.cpu
                    judged.turn(TURN)
                    cpu += daemon.cpu - before
                    floor.turn(TURN)
                    spent += TURN
        finally:
            watcher.kill()
            watcher.wait()
    show("monitor", judged)
    show("raw inotify", floor)
    print(f"after a second of silence: median {1e3 * statistics.median(judged.first):.1f} ms")
    print(f"the monitor took {100 * cpu / spent:.1f} % of a core, its answers included")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure each of the two")
    parser.add_argument("--echo", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    options = arguments()
    if options.echo is None:
        main(options.seconds)
    else:
        echo(options.echo)
