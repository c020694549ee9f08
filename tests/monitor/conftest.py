"""Fixtures: rule books, and scripted trainers whose files are closed again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.monitor.helpers import OTHER_RULES, RULES, VARIED_RULES, ScriptedTrainer, running
from trainguard_monitor.daemon import Daemon
from trainguard_rules import RuleBook, load_rules

NewTrainer = Callable[..., ScriptedTrainer]


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    """A rule file with one guard: grad_norm > 10 halves the learning rate."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def book(rules_file: Path) -> RuleBook:
    return load_rules([str(rules_file)])


@pytest.fixture
def other_book(tmp_path: Path) -> RuleBook:
    """As `book`, but with another threshold."""
    path = tmp_path / "other.yaml"
    path.write_text(OTHER_RULES)
    return load_rules([str(path)])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
def daemon(tmp_path: Path, runs: Path) -> Iterator[Daemon]:
    """A monitor over `runs`, with a rule that acts, one that only warns, one that asks, and an expectation."""
    path = tmp_path / "varied.yaml"
    path.write_text(VARIED_RULES)
    with running(Daemon(runs, load_rules([str(path)]))) as daemon:
        yield daemon


@pytest.fixture
def new_trainer(runs: Path) -> Iterator[NewTrainer]:
    """Makes scripted trainers: ``new_trainer("a")``."""
    made: list[ScriptedTrainer] = []

    def make(name: str = "a", **options: bool) -> ScriptedTrainer:
        made.append(ScriptedTrainer(runs / name, **options))
        return made[-1]

    yield make
    for trainer in made:
        trainer.close()


@pytest.fixture
def trainer(new_trainer: NewTrainer) -> ScriptedTrainer:
    """A run called "a" that has said hello."""
    trainer = new_trainer("a")
    trainer.hello()
    return trainer
