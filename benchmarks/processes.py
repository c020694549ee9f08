"""A real monitor process over real run directories, and a trainer of a few lines that writes them."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from trainguard_wire import Ack, Goodbye, Hello, Intervention, RunDirectory, RunInfo, sample_of

SIGNALS = ("loss", "grad_norm", *(f"s{i}" for i in range(2, 16)), "probe")
ACTIONS = ("scale_lr", "restore_checkpoint", "save_checkpoint", "stop")


class Writer:
    """Writes a run as a trainer does: whole records, one ``write`` each."""

    def __init__(self, path: Path) -> None:
        self.run = RunDirectory(path)
        self.run.create()
        self.run.write_info(RunInfo(run=self.run.name, pid=1, started=time.time(), signals=SIGNALS, actions=ACTIONS))
        self._telemetry = self.run.write_telemetry()
        self.step = 0
        hello = Hello(step=0, generation=0, time=time.time(), run=path.name, pid=1, signals=SIGNALS, actions=ACTIONS)
        self._telemetry.append(hello)

    def sample(self, values: Mapping[str, float]) -> None:
        self.step += 1
        self._telemetry.append(sample_of(values, step=self.step, generation=0, time=time.time()))

    def acknowledge(self, intervention: Intervention) -> None:
        for action in intervention.actions:
            self._telemetry.append(
                Ack(
                    step=self.step, generation=0, time=time.time(), action=action.id, kind=action.kind, status="applied"
                )
            )

    def goodbye(self) -> None:
        self._telemetry.append(Goodbye(step=self.step, generation=0, time=time.time(), outcome="finished"))
        self.close()

    def close(self) -> None:
        self._telemetry.close()


class Monitor(NamedTuple):
    """A monitor that is ready, at ``url``, ``seconds`` after it was started."""

    process: psutil.Process
    url: str
    seconds: float

    @property
    def megabytes(self) -> float:
        """Resident."""
        return float(self.process.memory_info().rss) / 1e6

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def load(self, seconds: float) -> float:
        """What share of a core it takes for so long, in percent."""
        before, began = self.cpu, time.monotonic()
        time.sleep(seconds)
        return 100 * (self.cpu - before) / (time.monotonic() - began)


@contextmanager
def monitor(runs: Path, rules: Path | str, options: Sequence[str] = ()) -> Iterator[Monitor]:
    """``trainguard monitor`` over the runs."""
    ready = runs.with_name(f"{runs.name}.ready")
    command = [sys.executable, "-m", "trainguard_monitor", "monitor", str(runs), f"--rules={rules}"]
    command += ["--listen=127.0.0.1:0", f"--ready-file={ready}", "--log-level=warning", *options]
    began = time.monotonic()
    process = subprocess.Popen(command)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("the monitor did not start")
            time.sleep(0.002)
        yield Monitor(psutil.Process(process.pid), f"http://{ready.read_text().strip()}", time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(60)
        ready.unlink(missing_ok=True)
