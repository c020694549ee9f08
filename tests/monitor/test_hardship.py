"""What one directory, one request or one run must not do to the monitor: end it."""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of, openings_of, running, serving
from tests.support.waiting import until
from trainguard_monitor import daemon as daemon_module
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.http.app import build_app
from trainguard_rules import RuleBook
from trainguard_wire import Approval, Lease

TRAINGUARD = [sys.executable, "-m", "trainguard_monitor"]
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def _heed_modes() -> None:
    """In a child about to be: let permissions hold for root, too."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0


@pytest.fixture
def close() -> Iterator[Callable[[Path], None]]:
    """Makes a directory that may not be read, as another user's is whose umask is 077."""
    closed: list[Path] = []

    def close(directory: Path) -> None:
        directory.mkdir()
        directory.chmod(0)
        closed.append(directory)

    yield close
    for directory in closed:
        directory.chmod(0o700)


def _run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [*TRAINGUARD, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, preexec_fn=_heed_modes)


def test_directories_that_may_not_be_read(
    runs: Path, rules_file: Path, tmp_path: Path, new_trainer: NewTrainer, close: Callable[[Path], None]
) -> None:
    """Whether they were there before or are made beside a monitor at work: the runs are followed."""
    ready = tmp_path / "ready"
    close(runs / "lost+found")
    command = [*TRAINGUARD, "monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, preexec_fn=_heed_modes)
    try:
        until(lambda: ready.exists() or process.poll() is not None)
        close(runs / "theirs")
        trainer = new_trainer("a")
        trainer.hello()
        until(lambda: openings_of(trainer.run) or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert openings_of(trainer.run)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["status"], 0), (["report"], 2), (["run", "--listen=127.0.0.1:0", "--runs"], 7)],
)
def test_commands_and_a_directory_that_may_not_be_read(
    runs: Path, close: Callable[[Path], None], arguments: list[str], code: int
) -> None:
    """Beside it they do their work; what they can't do within it they say."""
    close(runs / "lost+found")
    rest = ["--", sys.executable, "-c", "raise SystemExit(7)"] if arguments[0] == "run" else []
    beside = _run(*arguments, runs, *rest)
    within = _run(*arguments, runs / "lost+found", *rest)
    assert "Traceback" not in beside.stderr + within.stderr
    assert (beside.returncode, within.returncode) == (code, 2)
    assert "lost+found" in within.stderr


def test_a_name_that_is_no_utf8(daemon: Daemon, runs: Path, new_trainer: NewTrainer) -> None:
    """Is shown with what is strange about it escaped, and the other runs are shown, too."""
    for name in (os.fsdecode(b"bad\xff"), "good"):
        trainer = new_trainer(name)
        trainer.hello()
        trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: [(view.run, view.step) for view in daemon.runs()] == [("bad\\xff", 1), ("good", 1)])
    with serving(build_app(daemon)) as url:
        metrics, shown, alerts = (httpx.get(url + path) for path in ("/metrics", "/api/v1/runs", "/api/v1/alerts"))
        assert 'trainguard_run_step{run="bad\\\\xff"} 1' in metrics.text
        assert 'trainguard_run_step{run="good"} 1' in metrics.text
        assert [run["run"] for run in shown.json()["data"]] == ["bad\\xff", "good"]
        assert alerts.status_code == 200
        for part in ("", "/samples", "/timeline"):
            assert httpx.get(f"{url}/api/v1/runs/bad%5Cxff{part}").status_code == 200


def test_more_runs_than_files_may_be_open(runs: Path, rules_file: Path, new_trainer: NewTrainer) -> None:
    """Those for which there is no room are told in the log, and the monitor goes on looking."""
    for number in range(60):
        new_trainer(f"run-{number}").hello()
    command = [*TRAINGUARD, "monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0"]
    process = subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert process.stderr is not None
    told = iter(process.stderr.readline, "")
    assert any("can't be followed: [Errno 24] Too many open files" in line for line in told)
    (runs / "another").mkdir()
    assert any("can't look for runs, will go on trying: [Errno 24]" in line for line in told)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_directory_that_can_not_be_looked_at(
    runs: Path,
    book: RuleBook,
    trainer: ScriptedTrainer,
    new_trainer: NewTrainer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For a while: the runs that were found are followed meanwhile, and it is logged once."""
    monkeypatch.setattr(daemon_module, "SCAN_EVERY", 0.02)
    failures: list[object] = []

    def fail(_: object) -> None:
        failures.append(None)
        raise PermissionError(13, "Permission denied", "runs")

    with running(Daemon(runs, book)) as daemon:
        with monkeypatch.context() as patch:
            patch.setattr("trainguard_monitor.following.discovery.runs_in", fail)
            until(lambda: len(failures) > 3)
            trainer.sample(loss=1.0, grad_norm=50.0)
            until(lambda: interventions_of(trainer.run))
        new_trainer("b")
        until(lambda: len(daemon.runs()) == 2)
    assert caplog.text.count("can't look for runs") == 1
    assert "Traceback" not in caplog.text


def test_files_that_can_not_be_closed(
    runs: Path, book: RuleBook, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk over the network may say only then that it is full: the run is let go of, and the others go on."""
    bad, good = new_trainer("bad"), new_trainer("good")
    poll, close = Driver.poll, os.close
    full = threading.Event()

    def faulty(driver: Driver, now: float) -> object:
        if driver.run.name == "bad" and full.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return poll(driver, now)

    def closed_in_vain(fd: int) -> None:
        is_journal = "/bad/journal/" in os.readlink(f"/proc/self/fd/{fd}")
        close(fd)
        if is_journal:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Driver, "poll", faulty)
    monkeypatch.setattr("trainguard_wire.segments.os.close", closed_in_vain)
    with running(Daemon(runs, book)) as daemon:
        for trainer in (bad, good):
            trainer.hello()
            trainer.sample(loss=1.0, grad_norm=50.0)
        until(lambda: interventions_of(bad.run) and interventions_of(good.run))
        full.set()
        until(lambda: [view.state for view in daemon.runs()] == ["failed", "driven"])
        Lease.take(bad.run.monitor_lock).release()
        good.apply(interventions_of(good.run)[0])
        good.samples(10)
        good.sample(loss=1.0, grad_norm=50.0)
        until(lambda: len(interventions_of(good.run)) == 2)


def test_a_request_that_nobody_waits_for_any_more(
    runs: Path, book: RuleBook, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP gives up after a while and says: try again. So nothing is taken in."""
    daemon = Daemon(runs, book)
    asked = daemon.take_in("a", Approval(intervention="x", approved=True, by="ada"))
    assert asked.cancel()
    with running(daemon):
        trainer.sample(loss=1.0, grad_norm=50.0)
        until(lambda: interventions_of(trainer.run))


@pytest.mark.parametrize("part", ["replace_rules", "change_rules"])
def test_rules_that_one_run_can_not_change_to(
    runs: Path,
    book: RuleBook,
    other_book: RuleBook,
    new_trainer: NewTrainer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: str,
) -> None:
    """A defect that they bring to light in one run: the others change, and this one is followed by the next rules."""
    bad, good = new_trainer("bad"), new_trainer("good")
    for trainer in (bad, good):
        trainer.hello()
    real: Callable[..., None] = getattr(Driver, part)

    def faulty(driver: Driver, *book: RuleBook) -> None:
        if driver.run.name == "bad":
            raise ZeroDivisionError
        real(driver, *book)

    with running(Daemon(runs, book)) as daemon:
        until(lambda: openings_of(bad.run) and openings_of(good.run))
        with monkeypatch.context() as patch:
            patch.setattr(Driver, part, faulty)
            daemon.replace_rules(other_book).result(5)
            until(lambda: [view.state for view in daemon.runs()] == ["failed", "driven"])
            until(lambda: len(openings_of(good.run)) == 2)
        daemon.replace_rules(book).result(5)
        bad.sample(loss=1.0, grad_norm=50.0)
        until(lambda: interventions_of(bad.run))
    assert "given up; this is a defect of trainguard" in caplog.text
