"""The loop over many runs: real directories, a real thread."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, derived_in, interventions_of, journal_of, running
from tests.support.waiting import until
from trainguard_monitor import daemon as daemon_module
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.following.discovery import Discovery
from trainguard_monitor.following.driver import Driver
from trainguard_rules import RuleBook
from trainguard_wire import Decision, Lease, LeaseHeld, RunDirectory
from trainguard_wire.hold import Hold


@pytest.fixture
def daemon(runs: Path, book: RuleBook) -> Iterator[Daemon]:
    with running(Daemon(runs, book)) as daemon:
        yield daemon


def _states(daemon: Daemon) -> dict[str, str]:
    return {view.run: view.state for view in daemon.runs()}


def test_follows_runs_that_appear(daemon: Daemon, new_trainer: NewTrainer) -> None:
    """Runs that begin while the daemon runs are found and acted upon, each for itself."""
    trainers = [new_trainer(name) for name in ("a", "b", "c")]
    for trainer in trainers:
        trainer.hello()
        trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: all(len(interventions_of(trainer.run)) == 1 for trainer in trainers))
    trainers[0].goodbye()
    until(lambda: _states(daemon) == {"a": "ended", "b": "driven", "c": "driven"})


def test_stop_reads_to_the_end(runs: Path, book: RuleBook, trainer: ScriptedTrainer) -> None:
    """What was written before the stop is folded and journalled, and the lease is given back."""
    with running(Daemon(runs, book)) as daemon:
        until(lambda: _states(daemon) == {"a": "driven"})
        trainer.samples(5000)
        trainer.sample(loss=1.0, grad_norm=50.0)
    decisions = [record for record in derived_in(trainer.run) if isinstance(record, Decision)]
    assert [decision.step for decision in decisions] == [5001]
    Lease.take(trainer.run.monitor_lock).release()


def test_a_run_that_had_no_turn_yet_is_read_to_the_end(runs: Path, book: RuleBook, new_trainer: NewTrainer) -> None:
    """One run is taken up at a time, and the monitor of a short training is told to stop right after it."""
    trainers = [new_trainer(name) for name in "abc"]
    for trainer in trainers:
        trainer.hello()
        trainer.sample(loss=1.0, grad_norm=99.0)
        trainer.goodbye()
    daemon = Daemon(runs, book)
    daemon.stop()
    daemon.run()
    decisions = [record for trainer in trainers for record in derived_in(trainer.run) if isinstance(record, Decision)]
    assert [decision.step for decision in decisions] == [1, 1, 1]


def test_not_ready_while_it_stops(
    runs: Path, book: RuleBook, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks then is to ask another monitor."""
    seen: list[bool] = []
    monkeypatch.setattr(Driver, "drain", lambda *_: seen.append(daemon.ready) or ())
    with running(Daemon(runs, book)) as daemon:
        until(lambda: _states(daemon) == {"a": "driven"})
    assert seen == [False]


def test_scans_leave_time_for_the_runs(
    runs: Path, book: RuleBook, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a look at the directory takes long, a storm of events does not have it looked at all the time."""
    scan, scans = Discovery.scan, []

    def slowly(discovery: Discovery) -> list[RunDirectory]:
        scans.append(None)
        time.sleep(0.05)
        return scan(discovery)

    monkeypatch.setattr(Discovery, "scan", slowly)
    with running(Daemon(runs, book)):
        until(lambda: len(scans) >= 2)
        before = len(scans)
        for number in range(25):
            (runs / f"other-{number}").mkdir()
            time.sleep(0.02)
        assert len(scans) - before <= 2
        trainer.sample(loss=1.0, grad_norm=50.0)
        until(lambda: interventions_of(trainer.run))


def test_a_removed_run_is_dropped(daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """A run whose directory goes away goes away, and one made anew under its name is another run."""
    until(lambda: _states(daemon) == {"a": "driven"})
    shutil.rmtree(trainer.run.path)
    until(lambda: _states(daemon) == {})
    again = ScriptedTrainer(trainer.run.path)
    again.hello()
    again.sample(loss=1.0, grad_norm=50.0)
    again.close()
    until(lambda: len(interventions_of(again.run)) == 1)


def test_takes_over_from_another_monitor(
    runs: Path, book: RuleBook, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby sees the run held, and drives it once the other monitor is gone."""
    monkeypatch.setattr("trainguard_monitor.following.cadence.RETRY", 0.05)
    lease = Lease.take(trainer.run.monitor_lock)
    with running(Daemon(runs, book)) as daemon:
        until(lambda: _states(daemon) == {"a": "held"})
        lease.release()
        until(lambda: _states(daemon) == {"a": "driven"})


def test_a_run_that_judges_itself_is_no_warning(
    runs: Path, book: RuleBook, trainer: ScriptedTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    """Held by its own training process, as it asked to be."""
    trainer.run.write_info(msgspec.structs.replace(trainer.run.read_info(), monitor="embedded"))
    caplog.set_level(logging.INFO)
    with Lease.take(trainer.run.monitor_lock), running(Daemon(runs, book)) as daemon:
        until(lambda: _states(daemon) == {"a": "held"})
        until(lambda: any("already has a monitor" in record.message for record in caplog.records))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_single_run_that_is_held_is_an_error(book: RuleBook, trainer: ScriptedTrainer) -> None:
    """Pointed at one run that another monitor drives, the daemon says so and ends."""
    with Lease.take(trainer.run.monitor_lock), pytest.raises(LeaseHeld, match="already has a monitor"):
        Daemon(trainer.run.path, book).run()


def test_a_run_that_fails_does_not_take_the_others_with_it(
    daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect that one run brings to light is logged and shown; the other runs go on."""
    poll = Driver.poll

    def faulty(driver: Driver, now: float) -> bool:
        if driver.run.name == "bad":
            raise ZeroDivisionError
        return poll(driver, now)

    monkeypatch.setattr(Driver, "poll", faulty)
    bad, good = new_trainer("bad"), new_trainer("good")
    for trainer in (bad, good):
        trainer.hello()
        trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: len(interventions_of(good.run)) == 1)
    until(lambda: _states(daemon) == {"bad": "failed", "good": "driven"})
    assert journal_of(bad.run) == []
    assert "defect of trainguard" in caplog.text


def test_a_run_of_another_schema_is_tried_again(
    daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run.json that can't be read is logged once, shown as failed, and forgiven when it is repaired."""
    monkeypatch.setattr("trainguard_monitor.following.cadence.RETRY", 0.02)
    read, tries = RunDirectory.read_info, []
    monkeypatch.setattr(RunDirectory, "read_info", lambda run: (tries.append(run), read(run))[1])
    trainer = new_trainer("a", introduce=False)
    trainer.run.info_file.write_text("{}")
    until(lambda: len(tries) >= 3)
    assert _states(daemon) == {"a": "failed"}
    trainer.introduce()
    until(lambda: _states(daemon) == {"a": "driven"})
    assert caplog.text.count("run.json") == 1
    assert "a: can't be followed: " in caplog.text


def test_a_run_that_cannot_be_written_to(
    daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which, and what is missing."""

    def denied(run: RunDirectory) -> Hold:
        raise PermissionError(13, "Permission denied", str(run.path / "monitor.lock"))

    monkeypatch.setattr(Hold, "take", denied)
    new_trainer("a").hello()
    until(lambda: _states(daemon) == {"a": "failed"})
    until(lambda: "monitor.lock'; the monitor has to be allowed to write there" in caplog.text)


def test_the_regular_scan_needs_no_events(
    runs: Path, book: RuleBook, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no event ever comes, the slow scan finds the run."""
    monkeypatch.setattr(daemon_module, "SCAN_EVERY", 0.05)
    monkeypatch.setattr("trainguard_monitor.following.discovery._Handler.on_any_event", lambda *_: None)
    with running(Daemon(runs, book)) as daemon:
        new_trainer("a")
        until(lambda: _states(daemon) == {"a": "driven"})
