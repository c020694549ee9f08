"""Real processes: the demo's training, and monitors that start and die on command."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import server
from trainguard.demo.__main__ import main
from trainguard_wire import RunDirectory, Telemetry
from trainguard_wire.segments import RecordReader

STEPS_PER_EPOCH = 45


class Training:
    """``python -m trainguard.demo``, begun; what it says on standard error is beside its ``result``."""

    def __init__(self, result: Path, *arguments: str) -> None:
        self._result, self._said = result, result.with_suffix(".stderr")
        command = ["trainguard.demo", "--result", str(result), *arguments]
        self.process = server.Process(target=_train, args=(command, self._said), daemon=True)
        self.process.start()

    def end(self) -> list[str]:
        """Wait for its end, which must not be a failure; what it said."""
        self.process.join(120)
        said = self._said.read_text()
        assert self.process.exitcode == 0, said
        return said.splitlines()

    def finish(self) -> dict[str, Any]:
        """Wait for its end; it must not say anything but that the disk is slow."""
        assert [line for line in self.end() if not line.startswith("checkpoint.skipped")] == []
        data: dict[str, Any] = json.loads(self._result.read_text())
        return data


def _train(command: list[str], said: Path) -> None:
    sys.argv = command
    for stream, path in ((sys.stdout, os.devnull), (sys.stderr, said)):
        with open(path, "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    main()


@contextmanager
def monitor(runs: Path, rules: str = "stability") -> "Iterator[subprocess.Popen[bytes]]":
    """A monitor process, ready; ended in order afterwards unless the test has killed it."""
    runs.mkdir(exist_ok=True)
    ready = runs.parent / f"ready-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "trainguard_monitor", "monitor", str(runs), "--rules", rules]
    command += ["--listen", "127.0.0.1:0", "--ready-file", str(ready), "--log-level", "warning"]
    process = subprocess.Popen(command)
    try:
        until(ready.exists)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0
        process.wait()


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.005)


class Progress:
    """How far a run has come, by its telemetry."""

    def __init__(self, run: RunDirectory) -> None:
        self._reader: RecordReader[Telemetry] = run.read_telemetry()
        self.step = 0

    def reached(self, step: int) -> Callable[[], bool]:
        def look() -> bool:
            for record in self._reader.read():
                self.step = max(self.step, record.step)
            return self.step >= step

        return look


def everything(reader: RecordReader[Any]) -> list[Any]:
    """All records of a run's files, which must hold no corrupt line."""
    records: list[Any] = []
    while some := reader.read():
        records += some
    reader.close()
    return records
