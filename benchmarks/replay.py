"""What it takes to replay a long run, reading included. Run: python -m benchmarks.replay [SAMPLES]

Records a run of 1,000,000 samples of sixteen signals in a temporary directory, as a trainer would, and has
``trainguard replay`` judge it: by the twenty rules of `benchmarks.engine`, and by the pack ``stability``. The time
is that of the whole process, from its start to its end, by the wall clock and of the processor; its memory is looked
at twenty times a second. Then a monitor is started with the twenty rules, as after a kill, and has to catch up: timed
is from where it is ready to where it has taken the run up, which its journal says.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.engine import SIGNALS, rules, samples
from benchmarks.processes import monitor
from trainguard_wire import Hello, RunDirectory, RunInfo, encode

ACTIONS = ("scale_lr", "restore_checkpoint")
LOOK = 0.05


def record(path: Path, number: int) -> RunDirectory:
    """A run with a telemetry of so many samples, and nothing else."""
    run = RunDirectory(path)
    run.create()
    run.write_info(RunInfo(run="bench", pid=1, started=0.0, signals=tuple(SIGNALS), actions=ACTIONS))
    writer = run.write_telemetry()
    writer.append(Hello(step=0, generation=0, time=0.0, run="bench", pid=1, signals=tuple(SIGNALS), actions=ACTIONS))
    for sample in samples(number):
        writer.append_lines(encode(sample))
    writer.close()
    return run


def watch(command: Sequence[str]) -> tuple[float, float, float]:
    """Seconds a process took, of these on a processor, and the most memory it was seen to have resident, in MB."""
    began, before = time.perf_counter(), processor_seconds()
    with psutil.Popen(command, stdout=subprocess.DEVNULL) as process:
        most = 0
        while process.poll() is None:
            try:
                most = max(most, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(LOOK)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return seconds, processor_seconds() - before, most / 1e6


def processor_seconds() -> float:
    """Of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def catch_up(run: RunDirectory, rules: Path) -> float:
    """Seconds a monitor takes from its being ready to its following the run."""
    with monitor(run.path.parent, rules) as daemon:
        began = time.perf_counter()
        while not any(path.stat().st_size for path in run.journal.glob("*.jsonl")):
            if daemon.process.status() == psutil.STATUS_ZOMBIE:
                raise SystemExit("the monitor ended before it had caught up")
            time.sleep(0.01)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="?", type=int, default=1_000_000)
    number = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        run = record(Path(folder) / "runs" / "bench", number)
        size = sum(path.stat().st_size for path in run.telemetry.iterdir())
        print(f"{number:,} samples of {len(SIGNALS)} signals, {size / 1e6:,.0f} MB of telemetry")
        twenty = Path(folder) / "twenty.yaml"
        twenty.write_text(rules(128))
        for name, file in (("twenty rules", str(twenty)), ("stability", "stability")):
            command = [sys.executable, "-m", "trainguard_monitor", "replay", str(run.path), "--rules", file, "--json"]
            wall, processor, megabytes = watch(command)
            print(
                f"  {name:<13} {wall:5.1f} s, of the processor {processor:.1f} s; at most {megabytes:.0f} MB",
                flush=True,
            )
        seconds = catch_up(run, twenty)
        print(f"  a monitor has caught up after {seconds:.1f} s, {number / seconds:,.0f} samples a second")


if __name__ == "__main__":
    main()
