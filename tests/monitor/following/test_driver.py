"""One run: lease, fold, and the order in which things are written."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.monitor.helpers import (
    ScriptedTrainer,
    control_of,
    derived_in,
    full_disk,
    interventions_of,
    journal_of,
    openings_of,
)
from trainguard_monitor.following.driver import Driver
from trainguard_rules import CatchUp, RuleBook
from trainguard_wire import (
    AlertNotice,
    Control,
    Decision,
    Journal,
    Lease,
    LeaseHeld,
    Outcome,
    RunDirectoryError,
    SegmentWriter,
    Telemetry,
)


@pytest.fixture
def driver(trainer: ScriptedTrainer, book: RuleBook) -> Iterator[Driver]:
    driver = Driver(trainer.run, book, clock=lambda: 1.0)
    yield driver
    driver.close()


def test_acts_on_what_it_follows(driver: Driver, trainer: ScriptedTrainer) -> None:
    """A fault in the telemetry comes back as an intervention, and its acknowledgement ends up in the journal."""
    driver.drain(0.0)
    trainer.sample(loss=1.0, grad_norm=50.0)
    assert driver.poll(0.0)
    (intervention,) = interventions_of(trainer.run)
    assert intervention.step == 1
    assert driver.pace == "busy"
    trainer.apply(intervention)
    driver.poll(0.0)
    outcomes = [record for record in journal_of(trainer.run) if isinstance(record, Outcome)]
    assert [outcome.status for outcome in outcomes] == ["applied"]


def test_acts_on_what_is_still_due_after_catch_up(driver: Driver, trainer: ScriptedTrainer) -> None:
    """A monitor that comes late still answers an incident that is fresh enough, and journals all of it."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    assert len(interventions_of(trainer.run)) == 1
    assert [opened.from_record for opened in openings_of(trainer.run)] == [0]
    assert any(isinstance(record, Decision) for record in derived_in(trainer.run))


def test_does_not_act_on_the_past(driver: Driver, trainer: ScriptedTrainer) -> None:
    """An incident long gone by when the monitor comes is journalled and not answered."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    trainer.samples(200)
    driver.drain(0.0)
    assert interventions_of(trainer.run) == []
    assert any(isinstance(record, Decision) for record in derived_in(trainer.run))


def test_nothing_is_written_during_catch_up(driver: Driver, trainer: ScriptedTrainer) -> None:
    """Before the telemetry's end is reached, neither journal nor control are touched."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    assert driver.poll(0.0)
    assert driver.is_catching_up
    assert journal_of(trainer.run) == []
    assert control_of(trainer.run) == []


def test_journal_comes_before_control(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is on record before the trainer is told."""
    driver.drain(0.0)
    written: list[str] = []
    append = SegmentWriter.append

    def note(writer: SegmentWriter, record: Telemetry | Control | Journal) -> None:
        written.append(writer.directory.name)
        append(writer, record)

    monkeypatch.setattr(SegmentWriter, "append", note)
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.poll(0.0)
    assert written[0] == "telemetry"
    assert written[-1] == "control"
    assert set(written[1:-1]) == {"journal"}


def test_a_full_disk_delays_and_loses_nothing(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While writing fails control waits for the journal; both come when it works again, and one error is logged."""
    driver.drain(0.0)
    with full_disk(monkeypatch):
        trainer.sample(loss=1.0, grad_norm=50.0)
        for now in (1.0, 1.01, 2.0, 3.0):
            driver.poll(now)
    assert driver.view().write_failures == 3
    assert control_of(trainer.run) == derived_in(trainer.run) == []
    driver.poll(4.0)
    assert len(interventions_of(trainer.run)) == 1
    assert any(isinstance(record, Decision) for record in derived_in(trainer.run))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_control_that_failed_at_the_end_of_catch_up_is_tried_again(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal got through and control did not: control follows, without any new telemetry."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    with full_disk(monkeypatch, "journal"):
        driver.drain(1.0)
    assert control_of(trainer.run) == []
    driver.poll(2.0)
    assert len(interventions_of(trainer.run)) == 1


def test_control_that_expired_on_a_full_disk_is_not_delivered(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intervention nobody could be told of in time is lost, and the journal says so."""
    driver.drain(0.0)
    with full_disk(monkeypatch):
        trainer.sample(loss=1.0, grad_norm=50.0)
        driver.poll(1.0)
    trainer.samples(200)
    driver.poll(2.0)
    assert interventions_of(trainer.run) == []
    outcomes = [record for record in derived_in(trainer.run) if isinstance(record, Outcome)]
    assert {outcome.status for outcome in outcomes} == {"lost"}


def test_a_held_run_is_taken_over(driver: Driver, trainer: ScriptedTrainer) -> None:
    """While another monitor has the lease the run is held; after it, polling takes the run."""
    lease = Lease.take(trainer.run.monitor_lock)
    with pytest.raises(LeaseHeld, match="already has a monitor"):
        driver.poll(0.0)
    assert driver.view().state == "held"
    lease.release()
    driver.drain(0.0)
    assert driver.view().state == "driven"


def test_a_run_that_this_monitor_does_not_have(driver: Driver, trainer: ScriptedTrainer) -> None:
    """It is held only while another monitor has it. Where it is not opened yet, or was lost, trying again helps."""
    word = AlertNotice(fingerprint="f", starts_at="1", status="firing", labels={})
    assert (driver.view().state, driver.take_in(word).how) == ("driven", "behind")
    driver.drain(0.0)
    driver.fail()
    assert (driver.view().state, driver.take_in(word).how) == ("failed", "behind")
    with Lease.take(trainer.run.monitor_lock):
        with pytest.raises(LeaseHeld):
            driver.poll(0.0)
        assert (driver.view().state, driver.take_in(word).how) == ("held", "held")
    trainer.run.info_file.write_text("{}")
    with pytest.raises(RunDirectoryError):
        driver.poll(0.0)
    driver.fail()
    assert (driver.view().state, driver.take_in(word).how) == ("failed", "failed")
    trainer.introduce()
    driver.poll(0.0)
    assert (driver.view().state, driver.take_in(word).how) == ("driven", "behind")


def test_nobody_looks_while_catching_up_ends(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown of an engine is shown between two records."""
    finish, shown = CatchUp.finish, []

    def slowly(catchup: CatchUp) -> None:
        looker = threading.Thread(target=lambda: shown.append(driver.view()))
        looker.start()
        looker.join(0.05)
        assert shown == []
        lookers.append(looker)
        finish(catchup)

    lookers: list[threading.Thread] = []
    monkeypatch.setattr(CatchUp, "finish", slowly)
    driver.drain(0.0)
    lookers[0].join()
    assert len(shown) == 1


def test_a_run_of_another_schema_is_refused(driver: Driver, trainer: ScriptedTrainer) -> None:
    """A run this version can't read is an error that names the file, and no lease is kept."""
    trainer.run.info_file.write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"run\.json"):
        driver.poll(0.0)
    Lease.take(trainer.run.monitor_lock).release()


def test_notices_that_the_run_was_replaced(driver: Driver, trainer: ScriptedTrainer) -> None:
    """A run directory emptied and made anew under us is another run."""
    driver.drain(0.0)
    assert not driver.is_gone()
    trainer.run.monitor_lock.unlink()
    assert driver.is_gone()
    trainer.run.monitor_lock.touch()
    assert driver.is_gone()


def test_a_run_that_is_over_is_left_as_it_is(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """Starting again and again beside a finished run adds nothing to its journal."""
    trainer.sample(loss=1.0, grad_norm=50.0)
    trainer.samples(200)
    trainer.goodbye()
    for _ in range(3):
        driver = Driver(trainer.run, book)
        driver.drain(0.0)
        assert driver.view().state == "ended"
        driver.close()
    assert len(openings_of(trainer.run)) == 1


def test_a_run_that_is_over_keeps_no_telemetry_open(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """There may be many of them, and a process may have so many files. What comes after all is followed."""
    trainer.goodbye()
    trainer.close()
    driver = Driver(trainer.run, book)
    driver.drain(0.0)
    driver.poll(0.0)
    assert not any(str(trainer.run.telemetry) in path for path in _open_files())
    trainer.hello()
    trainer.sample(loss=1.0, grad_norm=50.0)
    assert driver.poll(0.0)
    assert driver.view().state == "driven"
    assert len(interventions_of(trainer.run)) == 1
    driver.close()


def _open_files() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_a_run_that_comes_back_is_opened_again(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """What a resumed trainer brings about is journalled under the monitor that saw it."""
    trainer.goodbye()
    for clock in (1.0, 2.0):
        driver = Driver(trainer.run, book, clock=lambda clock=clock: clock)
        driver.drain(0.0)
        if clock == 1.0:
            driver.close()
    trainer.hello()
    trainer.sample(loss=1.0, grad_norm=50.0)
    driver.poll(0.0)
    driver.close()
    assert [opened.time for opened in openings_of(trainer.run)] == [1.0, 2.0]
    assert len(interventions_of(trainer.run)) == 1
