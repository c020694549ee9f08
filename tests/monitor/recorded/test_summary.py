"""What ``trainguard run`` says of each run at its end."""

from pathlib import Path

from tests.monitor.conftest import NewTrainer
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.recorded.summary import Session
from trainguard_rules import RuleBook, load_text


def test_what_was_asked_and_not_answered_is_told_and_no_failure(
    runs: Path, book: RuleBook, new_trainer: NewTrainer
) -> None:
    """Beside a run in which nothing happened, and one that was there before."""
    new_trainer("before").hello()
    session = Session(runs, started=0.0)
    for name, norm in (("asked", 50.0), ("healthy", 1.0)):
        trainer = new_trainer(name)
        trainer.hello()
        driver = Driver(trainer.run, book.with_mode("approve"))
        trainer.samples(230, grad_norm=norm)
        trainer.goodbye()
        driver.drain(0.0)
        driver.close()
    said = sorted(map(str, session.summaries()))
    assert said == ["asked: no interventions, asked 3 times", "healthy: no interventions, no rule fired"]


def test_rules_that_only_warn_are_named(runs: Path, new_trainer: NewTrainer) -> None:
    session = Session(runs, started=0.0)
    warning = "groups: [{name: g, rules: [{guard: Steep, expr: grad_norm > 10}, {guard: High, expr: loss > 10}]}]"
    trainer = new_trainer("a")
    trainer.hello()
    driver = Driver(trainer.run, load_text(warning))
    trainer.samples(3, grad_norm=50.0)
    trainer.samples(3, grad_norm=1.0)
    trainer.goodbye()
    driver.drain(0.0)
    driver.close()
    assert list(map(str, session.summaries())) == ["a: no interventions, Steep fired"]
