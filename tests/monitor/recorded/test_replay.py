"""A recorded run under rules: the same rules decide again what they decided then."""

from tests.monitor.helpers import START, ScriptedTrainer
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.recorded.replay import replay
from trainguard_rules import RuleBook
from trainguard_wire import Action, Order


def test_what_came_in_before_the_first_record(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """Is taken in before it: then nothing was known of what the trainer can do."""
    run = trainer.run
    (run.telemetry / "000001.jsonl").write_bytes(b"")
    driver = Driver(run, book, clock=lambda: START)
    driver.drain(0.0)
    order = Order(id="o", actions=(Action(id="", kind="stop"),), by="ada")
    assert [decision.verdict for decision in driver.take_in(order).derived] == ["hold_unsupported"]
    trainer.hello()
    trainer.samples(2)
    driver.drain(1.0)
    driver.close()
    again = replay(run, book, "act")
    assert again.same_rules
    assert [row.now for row in again.rows()] == [row.then for row in again.rows()]
    assert [decision.verdict for decision in again.now.decisions] == ["hold_unsupported"]


def test_what_came_in_at_the_end(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """Behind the last record."""
    trainer.samples(2)
    driver = Driver(trainer.run, book, clock=lambda: START)
    driver.drain(0.0)
    driver.take_in(Order(id="o", actions=(Action(id="", kind="stop"),), by="ada"))
    driver.close()
    assert [decision.verdict for decision in replay(trainer.run, book, "act").now.decisions] == ["act"]
