"""Verdicts for a trainer that waits for them."""

import msgspec
import pytest

from tests.monitor.helpers import ScriptedTrainer, control_of, full_disk, journal_of
from trainguard_monitor.following.driver import Driver
from trainguard_rules import RuleBook
from trainguard_wire import Intervention, Judged


@pytest.fixture
def waiting(trainer: ScriptedTrainer) -> ScriptedTrainer:
    """A run in lockstep that has said hello."""
    trainer.run.write_info(msgspec.structs.replace(trainer.run.read_info(), lockstep=True))
    return trainer


def verdicts(trainer: ScriptedTrainer) -> list[tuple[int, int]]:
    return [(message.step, message.records) for message in control_of(trainer.run) if isinstance(message, Judged)]


def test_each_poll_that_brought_something_ends_with_a_verdict(waiting: ScriptedTrainer, book: RuleBook) -> None:
    """Of all records so far, the hello included, and behind what they led to."""
    driver = Driver(waiting.run, book)
    waiting.samples(3)
    driver.drain(0.0)
    assert verdicts(waiting) == [(3, 4)]
    waiting.sample(loss=1.0, grad_norm=50.0)
    waiting.checkpoint()
    for _ in range(3):
        driver.poll(0.0)
    assert verdicts(waiting) == [(3, 4), (4, 6)]
    assert [type(message) for message in control_of(waiting.run)] == [Judged, Intervention, Judged]
    assert driver.pace == "lockstep"
    waiting.goodbye()
    driver.drain(0.0)
    driver.close()
    assert verdicts(waiting) == [(3, 4), (4, 6)], "nobody waits any more"


def test_no_verdict_for_who_does_not_wait(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """Nor is such a run looked at as if it did."""
    driver = Driver(trainer.run, book)
    trainer.samples(3)
    driver.drain(0.0)
    assert driver.pace == "calm"
    driver.close()
    assert control_of(trainer.run) == []


def test_a_new_monitor_tells_what_it_has_caught_up_with(waiting: ScriptedTrainer, book: RuleBook) -> None:
    """The trainer may be waiting for just that."""
    for _ in range(2):
        driver = Driver(waiting.run, book)
        driver.drain(0.0)
        driver.close()
    assert verdicts(waiting) == [(0, 1), (0, 1)]


def test_records_are_counted_from_the_hello_of_each_process(waiting: ScriptedTrainer, book: RuleBook) -> None:
    """And whether it waits is asked anew."""
    waiting.samples(3)
    waiting.goodbye()
    waiting.generation = 1
    waiting.hello()
    driver = Driver(waiting.run, book)
    driver.drain(0.0)
    waiting.samples(1)
    driver.drain(0.0)
    assert verdicts(waiting) == [(3, 1), (4, 2)]
    waiting.introduce()  # the next one does not wait
    waiting.generation = 2
    waiting.hello()
    waiting.samples(1)
    driver.drain(0.0)
    driver.close()
    assert len(verdicts(waiting)) == 2


def test_no_verdict_before_it_is_on_record(
    waiting: ScriptedTrainer, book: RuleBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the journal cannot be written, the trainer waits in vain; then all of it comes in order."""
    driver = Driver(waiting.run, book)
    driver.drain(0.0)
    with full_disk(monkeypatch):
        waiting.sample(loss=1.0, grad_norm=50.0)
        driver.drain(0.0)
    assert verdicts(waiting) == [(0, 1)]
    driver.drain(1.0)
    driver.close()
    assert verdicts(waiting) == [(0, 1), (1, 2)]
    assert len(journal_of(waiting.run)) > 1
