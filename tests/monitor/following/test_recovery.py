"""A monitor killed at any byte and started again neither loses nor repeats anything.

A training goes on for some hundred steps while its monitor is killed again and again: between any two polls, or
in the middle of writing any record, which leaves a torn line. What journal and control hold in the end is
compared with a monitor that followed the same telemetry undisturbed.
"""

import random
from pathlib import Path

import pytest

from tests.monitor.helpers import ScriptedTrainer, control_of, derived_in, interventions_of, openings_of
from tests.monitor.killing import Fuse, Story, dies, records_of
from trainguard_monitor.following.driver import Driver
from trainguard_rules import RuleBook
from trainguard_wire import (
    Decision,
    Journal,
    Outcome,
    RunDirectory,
    SegmentWriter,
    Transition,
)

STEPS = 250


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
        killed = dies(driver) or chance.random() < 0.03
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


def test_other_rules_answer_an_incident_that_lasts(
    trainer: ScriptedTrainer, book: RuleBook, other_book: RuleBook
) -> None:
    """What they would have done in the past they leave be; an incident that goes on they answer on the next sample."""
    trainer.samples(50)
    trainer.sample(loss=1.0, grad_norm=15.0)
    first = Driver(trainer.run, other_book)
    first.drain(0.0)
    first.close()
    second = Driver(trainer.run, book)
    second.drain(0.0)
    assert _ids(trainer.run) == []
    assert openings_of(trainer.run)[-1].from_record == 52
    trainer.sample(loss=1.0, grad_norm=15.0)
    second.drain(0.0)
    second.close()
    assert _ids(trainer.run) == ["GradientExplosion.0.52"]


def test_what_was_done_counts_whatever_rules_come(
    trainer: ScriptedTrainer, book: RuleBook, other_book: RuleBook
) -> None:
    """A cooldown goes on when the threshold is changed, and so does an intervention that is under way."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    first = Driver(trainer.run, book)
    first.drain(0.0)
    trainer.apply(interventions_of(trainer.run)[0])
    first.drain(0.0)
    first.close()
    second = Driver(trainer.run, other_book)
    second.drain(0.0)
    trainer.sample(loss=1.0, grad_norm=50.0)
    second.drain(0.0)
    decision = [record for record in derived_in(trainer.run) if isinstance(record, Decision)][-1]
    assert decision.verdict == "hold_settling"
    assert second.view().actions["scale_lr", "applied"] == 1
    second.close()


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


def _follow(run: RunDirectory, path: Path, book: RuleBook) -> Driver:
    """Follow a copy of the run's telemetry as it grows, record by record."""
    copy = RunDirectory(path)
    copy.create()
    copy.write_info(run.read_info())
    driver, writer = Driver(copy, book), copy.write_telemetry()
    for record in records_of(run):
        writer.append(record)
        driver.drain(0.0)
    writer.close()
    return driver


def _ids(run: RunDirectory) -> list[str]:
    return [message.id for message in control_of(run)]


def _fires(record: Journal) -> bool:
    return isinstance(record, Transition) and record.after == "firing"
