"""The demo's trainings, as processes: this side knows nothing of torch."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

TRAINING = "trainguard.demo"


class TrainingError(RuntimeError):
    """A training of the demo ended badly. Says how."""


class Fault(NamedTuple):
    """What was injected before which step."""

    step: int
    what: str


class Result(NamedTuple):
    """What came of a training: the loss of every step, the accuracy on the test images at the end."""

    losses: list[float]
    accuracy: float
    steps_per_epoch: int
    faults: list[Fault]

    @classmethod
    def read(cls, path: Path) -> "Result":
        data = json.loads(path.read_text())
        faults = [Fault(fault["step"], fault["what"]) for fault in data["faults"]]
        return cls(data["losses"], data["accuracy"], data["steps_per_epoch"], faults)


class Training:
    """A running training. ``epoch`` and ``accuracy`` are of its last progress line."""

    def __init__(self, name: str, result: Path, arguments: Sequence[str]) -> None:
        self.name = name
        self._result = result
        command = [sys.executable, "-m", TRAINING, "--result", str(result), *arguments]
        # A file, since a pipe that nobody reads would be full one day; `end` closes it.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True)

    def follow(self, on_epoch: Callable[[int, float], None]) -> Result:
        """Report every epoch with the accuracy reached, and give the result. Raises `TrainingError`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            progress = json.loads(line)
            on_epoch(progress["epoch"], progress["accuracy"])
        if code := self._process.wait():
            self._errors.seek(0)
            raise TrainingError(
                f"the training {self.name!r} ended with exit code {code}:\n{self._errors.read().strip()}"
            )
        return Result.read(self._result)

    def end(self) -> None:
        """Make sure that it is over."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
