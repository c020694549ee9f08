"""Runs that come and go, found with real watches on a real directory."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer
from tests.support.waiting import until
from trainguard_monitor.following.discovery import Discovery


class Watcher:
    """A discovery, and whether it has called."""

    def __init__(self, directory: Path, *, polling: bool = False) -> None:
        self.called = threading.Event()
        self.discovery = Discovery(directory, self.called.set, polling=polling)

    def names(self) -> list[str]:
        return [run.name for run in self.discovery.scan()]

    def watched(self) -> set[str]:
        return {Path(path).name for path in self.discovery._watches}

    def scan_when_called(self) -> list[str]:
        assert self.called.wait(60)
        self.called.clear()
        return self.names()


@pytest.fixture
def watcher(runs: Path) -> Iterator[Watcher]:
    watcher = Watcher(runs)
    watcher.discovery.start()
    watcher.names()
    yield watcher
    watcher.discovery.stop()


def test_a_directory_becomes_a_run_later(watcher: Watcher, new_trainer: NewTrainer) -> None:
    """The directory comes first and its run.json later; both are noticed, and then no watch is left on it."""
    trainer = new_trainer("a", introduce=False)
    until(lambda: watcher.scan_when_called() == [] and watcher.watched() == {"runs", "a"})
    trainer.introduce()
    until(lambda: watcher.scan_when_called() == ["a"])
    assert watcher.watched() == {"runs"}


def test_a_removed_run_is_noticed(watcher: Watcher, trainer: ScriptedTrainer) -> None:
    """A run whose directory is removed is gone at the next scan, which its removal brings about."""
    until(lambda: watcher.names() == ["a"])
    watcher.called.clear()
    shutil.rmtree(trainer.run.path)
    until(lambda: watcher.scan_when_called() == [])


def test_a_single_run_is_found_and_its_folders_are_not_watched(new_trainer: NewTrainer, runs: Path) -> None:
    """The directory may be the run itself, before its run.json is there and after."""
    trainer = new_trainer("a", introduce=False)
    watcher = Watcher(runs / "a")
    watcher.discovery.start()
    assert watcher.names() == []
    assert watcher.watched() == {"a"}
    trainer.introduce()
    until(lambda: watcher.scan_when_called() == ["a"])
    assert watcher.watched() == {"a"}
    watcher.discovery.stop()


def test_writing_near_by_wakes_nobody(watcher: Watcher, runs: Path) -> None:
    """A file that is appended to, even in a directory that is watched, causes no event."""
    other = runs / "other"
    other.mkdir()
    until(lambda: watcher.scan_when_called() == [] and "other" in watcher.watched())
    with open(other / "log.txt", "w") as log:
        until(lambda: watcher.called.is_set())
        watcher.called.clear()
        for _ in range(100):
            log.write("line\n")
            log.flush()
    assert not watcher.called.wait(0.3)


def test_few_candidates_are_watched(watcher: Watcher, runs: Path) -> None:
    """Of many directories that may become a run, the newest are watched: a watch is a thread."""
    for number in range(40):
        (runs / f"d{number}").mkdir()
    watcher.names()
    assert len(watcher.watched()) <= 17


def test_in_the_directory_that_we_are_in_a_run_is_no_candidate(
    new_trainer: NewTrainer, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``trainguard monitor .`` watches what may become a run, and no run."""
    monkeypatch.chdir(runs)
    new_trainer("a")
    (runs / "b").mkdir()
    watcher = Watcher(Path("."))
    watcher.discovery.start()
    assert watcher.names() == ["a"]
    assert watcher.watched() == {"", "b"}
    watcher.discovery.stop()


def test_polling_finds_runs_too(new_trainer: NewTrainer, runs: Path) -> None:
    """With the polling observer, for file systems without events, a new run brings a call as well."""
    watcher = Watcher(runs, polling=True)
    watcher.discovery.start()
    watcher.names()
    new_trainer("a")
    until(lambda: watcher.scan_when_called() == ["a"])
    watcher.discovery.stop()
