"""Real processes: the demo's training, and monitors that start and die on command."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import server
from tests.support.waiting import until
from trainguard.demo.__main__ import main
from trainguard.demo.faults import Faults

STEPS_PER_EPOCH = 45


class Training:
    """``python -m trainguard.demo``, begun; what it says on standard error is beside its ``result``.

    With ``--faults`` it stands still before each step of ``halts``, until it is let go: what a test does at a step
    of the run then depends on no one's speed.
    """

    def __init__(self, result: Path, *arguments: str, halts: Iterable[int] = ()) -> None:
        self._result, self._said = result, result.with_suffix(".stderr")
        self._halts = Halts(halts)
        command = ["trainguard.demo", "--result", str(result), *arguments]
        self.process = server.Process(target=_train, args=(command, self._said, self._halts), daemon=True)
        self.process.start()

    def halted(self) -> None:
        """Wait until it stands at the next of its halts."""
        assert self._halts.reached.acquire(timeout=60), "it does not come to its next halt"

    def go_on(self) -> None:
        self._halts.free.release()

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


class Halts:
    """Steps before which a training stands still, and what it and the test tell each other there."""

    def __init__(self, steps: Iterable[int]) -> None:
        self._steps = frozenset(steps)
        self.reached, self.free = server.Semaphore(0), server.Semaphore(0)

    def put_on(self, faults: type[Faults]) -> None:
        strike = faults.strike

        def halting(struck: Faults, step: int, *what: Any) -> Any:
            if step in self._steps:
                self.reached.release()
                self.free.acquire()
            return strike(struck, step, *what)

        faults.strike = halting  # type: ignore[method-assign]


def _train(command: list[str], said: Path, halts: Halts) -> None:
    sys.argv = command
    halts.put_on(Faults)
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
