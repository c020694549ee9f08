"""A monitor killed at any byte and started again neither loses nor repeats anything.

A training goes on for some hundred steps while its monitor is killed again and again: between any two polls, or
in the middle of writing any record, which leaves a torn line. What journal and control hold in the end is
compared with a monitor that followed the same telemetry undisturbed.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.helpers import ScriptedTrainer, control_of, derived_in, interventions_of, openings_of
from trainguard_monitor.driver import Driver
from trainguard_rules import RuleBook
from trainguard_wire import (
    Control,
    Intervention,
    Journal,
    Outcome,
    RunDirectory,
    SegmentWriter,
    Telemetry,
    Transition,
    encode,
)

STEPS = 250


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


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_monitor_comes_to_the_same(
    trainer: ScriptedTrainer, book: RuleBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Journal, control and counts after many kills equal those of a monitor that never died."""
    chance = random.Random(seed)
    fuse = Fuse(chance)
    monkeypatch.setattr(SegmentWriter, "append", lambda writer, record: fuse.append(writer, record))
    story, driver, kills = Story(trainer, chance), Driver(trainer.run, book), 0
    for _ in range(STEPS):
        story.step()
        if chance.random() < 0.1:
            fuse.writes_left = chance.randrange(3)
        killed = _dies(driver) or chance.random() < 0.03
        if killed:
            driver.close()
            driver, kills = Driver(trainer.run, book), kills + 1
    fuse.writes_left = None
    driver.drain(0.0)
    view = driver.view()
    driver.close()
    story.close()

    undisturbed = _follow(trainer.run, tmp_path / "undisturbed", book)
    assert kills > 5
    assert derived_in(trainer.run) == derived_in(undisturbed.run)
    assert sorted(_ids(trainer.run)) == sorted(_ids(undisturbed.run))
    assert interventions_of(trainer.run) == interventions_of(undisturbed.run)
    assert view.decisions == undisturbed.view().decisions
    assert view.actions == undisturbed.view().actions
    assert sum(view.actions.values()) > 3
    assert {opened.from_record for opened in openings_of(trainer.run)} == {0}
    undisturbed.close()


def test_other_rules_begin_another_chain(
    trainer: ScriptedTrainer, book: RuleBook, other_book: RuleBook, caplog: pytest.LogCaptureFixture
) -> None:
    """With other rules only what comes from now on is journalled; the old rules taken up again begin anew too."""
    ends = []
    for rules in (book, other_book, other_book, book):
        driver = Driver(trainer.run, rules)
        driver.drain(0.0)
        ends.append(openings_of(trainer.run)[-1].from_record)
        trainer.sample(loss=1.0, grad_norm=15.0)  # above the threshold of one book only
        trainer.samples(150)
        driver.drain(0.0)
        driver.close()
    assert ends == [0, 152, 152, 454]
    fired = [record.step for record in derived_in(trainer.run) if _fires(record)]
    assert fired == [1, 454]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_what_other_rules_do_at_once_is_on_record(
    trainer: ScriptedTrainer, book: RuleBook, other_book: RuleBook
) -> None:
    """Rules that want to act on the last few steps begin their chain with the decision to."""
    trainer.samples(50)
    trainer.sample(loss=1.0, grad_norm=15.0)
    trainer.samples(3)
    first = Driver(trainer.run, other_book)
    first.drain(0.0)
    first.close()
    second = Driver(trainer.run, book)
    second.drain(0.0)
    second.close()
    assert _ids(trainer.run) == [
        record.intervention for record in derived_in(trainer.run) if getattr(record, "intervention", None)
    ]
    assert openings_of(trainer.run)[-1].from_record == 51


def test_a_journal_that_does_not_follow_is_left_and_begun_anew(
    trainer: ScriptedTrainer, book: RuleBook, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that tells of something the telemetry doesn't is an error in the log, not the end of the monitor."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    trainer.samples(150)
    for _ in range(2):
        driver = Driver(trainer.run, book)
        driver.drain(0.0)
        driver.close()
        writer = trainer.run.write_journal()
        writer.append(Transition(step=7, generation=0, time=0.0, rule="Never", before="inactive", after="firing"))
        writer.close()
    before = derived_in(trainer.run)
    driver = Driver(trainer.run, book)
    driver.drain(0.0)
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.poll(0.0)
    driver.close()
    assert "does not follow from the telemetry" in caplog.text
    assert openings_of(trainer.run)[-1].from_record == 152
    added = derived_in(trainer.run)[len(before) :]
    assert added
    assert {record.step for record in added if not isinstance(record, Outcome)} == {152}


def _dies(driver: Driver) -> bool:
    try:
        driver.drain(0.0)
    except Killed:
        return True
    return False


def _follow(run: RunDirectory, path: Path, book: RuleBook) -> Driver:
    """Follow a copy of the run's telemetry as it grows, record by record."""
    copy = RunDirectory(path)
    copy.create()
    copy.write_info(run.read_info())
    driver, writer = Driver(copy, book), copy.write_telemetry()
    for record in _records(run):
        writer.append(record)
        driver.drain(0.0)
    writer.close()
    return driver


def _records(run: RunDirectory) -> Iterator[Telemetry]:
    reader = run.read_telemetry()
    while records := reader.read():
        yield from records
    reader.close()


def _ids(run: RunDirectory) -> list[str]:
    return [message.id for message in control_of(run)]


def _fires(record: Journal) -> bool:
    return isinstance(record, Transition) and record.after == "firing"
