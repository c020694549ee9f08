"""Killing a monitor: between any two polls, or in the middle of writing a record, which leaves a torn line."""

import random
from collections.abc import Iterator

from tests.monitor.helpers import ScriptedTrainer
from trainguard_monitor.following.driver import Driver
from trainguard_wire import Control, Intervention, Journal, RunDirectory, SegmentWriter, Telemetry, encode


class Killed(BaseException):
    """kill -9, in the middle of a write."""


class Fuse:
    """Kills the monitor in one of its next writes, at a random byte of the record."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._append = SegmentWriter.append
        self.writes_left: int | None = None

    def append(self, writer: SegmentWriter, record: Telemetry | Control | Journal) -> None:
        if writer.directory.name == "telemetry" or self.writes_left is None:
            self._append(writer, record)
        elif self.writes_left:
            self.writes_left -= 1
            self._append(writer, record)
        else:
            self.writes_left = None
            line = encode(record)
            if kept := line[: self._chance.randrange(len(line) + 1)]:
                writer.append_lines(kept)
            raise Killed


class Story:
    """A training that meets faults, obeys what it is told, and does not know that its monitor keeps dying."""

    def __init__(self, trainer: ScriptedTrainer, chance: random.Random) -> None:
        self.trainer = trainer
        self._chance = chance
        self._control = trainer.run.read_control()
        self._unanswered: list[Intervention] = []

    def step(self) -> None:
        chance = self._chance
        spiking = chance.random() < 0.1
        self.trainer.sample(loss=chance.random(), grad_norm=chance.uniform(11, 99) if spiking else chance.random())
        self._unanswered += [message for message in self._control.read() if isinstance(message, Intervention)]
        if self._unanswered and chance.random() < 0.5:
            self.trainer.apply(self._unanswered.pop(0))
        if self.trainer.step % 20 == 0:
            self.trainer.checkpoint()

    def close(self) -> None:
        self._control.close()


def dies(driver: Driver) -> bool:
    try:
        driver.drain(0.0)
    except Killed:
        return True
    return False


def records_of(run: RunDirectory) -> Iterator[Telemetry]:
    reader = run.read_telemetry()
    while records := reader.read():
        yield from records
    reader.close()
