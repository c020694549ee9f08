"""Which guards fire in a run, as its driver follows the telemetry."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.monitor.helpers import START, ScriptedTrainer
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.notifier.alert import Alert
from trainguard_rules import RuleBook, load_text

RULES = """\
groups:
  - name: stability
    rules:
      - guard: Exploding
        expr: grad_norm > 10
        for: 1 step
        labels: {severity: critical, team: vision, run: not this one}
        annotations: {summary: "norm {value:.3g} at step {step}", runbook_url: "https://example.org/{rule}"}
      - guard: NotFinite
        expr: not isfinite(loss)
"""


class Heard:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.forgotten: list[str] = []

    def put(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def forget(self, run: str) -> None:
        self.forgotten.append(run)

    def news(self) -> list[tuple[str, float, bool]]:
        """Rule, when it began in the trainer's seconds, whether it still fires; since the last time."""
        news = [(alert.rule, alert.since - START, alert.over is None) for alert in self.alerts]
        self.alerts.clear()
        return news


NewDriver = Callable[..., Driver]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def book() -> RuleBook:
    return load_text(RULES)


@pytest.fixture
def new_driver(trainer: ScriptedTrainer, book: RuleBook, heard: Heard) -> Iterator[NewDriver]:
    made: list[Driver] = []

    def make(book: RuleBook = book) -> Driver:
        made.append(Driver(trainer.run, book, clock=lambda: START + 5000.0, sink=heard))
        made[-1].drain(0.0)
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def test_tells_when_a_guard_begins_to_fire_and_when_it_is_over(new_driver, trainer, heard):
    """Since its condition turned true, with its labels and annotations as they were then."""
    driver = new_driver()
    trainer.samples(5)
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    assert heard.alerts == []  # pending
    trainer.sample(loss=1.0, grad_norm=60.5)
    trainer.samples(1)
    driver.drain(0.0)
    begun, over = heard.alerts
    assert begun == Alert(
        run="a",
        rule="Exploding",
        labels={"alertname": "Exploding", "run": "a", "severity": "critical", "team": "vision"},
        annotations={"summary": "norm 60.5 at step 7", "runbook_url": "https://example.org/Exploding", "value": "60.5"},
        since=START + 6,
    )
    assert (over.key, over.since, over.over) == (begun.key, begun.since, START + 8)


def test_no_incident_is_too_short(new_driver, trainer, heard):
    """Two within one read of the file are two."""
    driver = new_driver()
    for _ in range(2):
        trainer.sample(loss=math.nan, grad_norm=1.0)
        trainer.samples(1)
    driver.drain(0.0)
    assert heard.news() == [
        ("NotFinite", 1.0, True),
        ("NotFinite", 1.0, False),
        ("NotFinite", 3.0, True),
        ("NotFinite", 3.0, False),
    ]


def test_a_monitor_that_is_started_again_says_the_same_of_what_still_fires(new_driver, trainer, heard):
    """What came and went before it is history."""
    driver = new_driver()
    trainer.sample(loss=math.nan, grad_norm=1.0)
    trainer.samples(1)
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    before = heard.alerts[-1]
    driver.close()
    assert heard.alerts[-1] is before  # the monitor ends, the incident does not
    heard.alerts.clear()
    new_driver()
    assert [(alert.key, alert.since, alert.over) for alert in heard.alerts] == [(before.key, before.since, None)]


def test_all_is_over_with_the_training(new_driver, trainer, heard):
    driver = new_driver()
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    trainer.goodbye()
    driver.drain(0.0)
    assert heard.news() == [("Exploding", 1.0, True), ("Exploding", 1.0, False)]
    driver.close()
    new_driver()
    assert heard.news() == []


def test_all_is_over_with_the_run(new_driver, trainer, heard):
    driver = new_driver()
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    driver.close(gone=True)
    assert heard.news() == [("Exploding", 1.0, True), ("Exploding", 1.0, False)]


def test_a_run_that_can_not_be_followed_is_forgotten(new_driver, trainer, heard):
    """It is not known what fires there; where it can be followed again, it is told again."""
    driver = new_driver()
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    driver.fail()
    assert heard.news() == [("Exploding", 1.0, True)]
    assert heard.forgotten == ["a"]
    driver.drain(0.0)
    assert heard.news() == [("Exploding", 1.0, True)]


def test_rules_that_change_end_what_they_had_begun(new_driver, trainer, heard):
    driver = new_driver()
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    heard.alerts.clear()
    driver.replace_rules(load_text(RULES.replace("Exploding", "Bursting")))
    while driver.is_changing_rules:
        driver.change_rules()
    assert heard.news() == [("Exploding", 1.0, False), ("Bursting", 1.0, True)]


def test_without_a_sink_nothing_is_done(trainer: ScriptedTrainer, book: RuleBook, tmp_path: Path):
    driver = Driver(trainer.run, book)
    trainer.samples(3, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    trainer.samples(1)
    driver.drain(0.0)
    driver.close()
