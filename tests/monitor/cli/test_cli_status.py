"""``trainguard status``: the same runs from a monitor and from their files, those that need somebody first."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.monitor import helpers
from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.cli import main
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.http.app import build_app
from trainguard_monitor.recorded.glance import TAIL_BYTES, Glance
from trainguard_monitor.views.health import health_of
from trainguard_rules import RuleBook, load_rules, load_text
from trainguard_wire import RunDirectory

ASKS = """\
groups:
  - name: asking
    rules:
      - guard: Asks
        expr: loss > 10
        mode: approve
        actions: [stop: {}]
        labels: {severity: warning}
"""

TWO = """\
groups:
  - name: two
    rules:
      - {guard: Stays, expr: loss > 10}
      - {guard: Gone, expr: loss > 10}
"""


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted trainers train now, not in 2023."""
    monkeypatch.setattr(helpers, "START", time.time() - 30)


@pytest.fixture
def url(runs: Path, book: RuleBook) -> Iterator[str]:
    """A monitor over ``runs``."""
    with running(Daemon(runs, book)) as daemon, serving(build_app(daemon)) as url:
        yield url


def status(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["status", *map(str, arguments)], catch_exceptions=False)


def data(*arguments: object) -> dict:
    result = status("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def incident(trainer: ScriptedTrainer) -> None:
    """A quiet stretch, and gradients that explode; the last value of the loss is no number."""
    trainer.samples(5)
    trainer.sample(loss=2.0, grad_norm=50.0, lr=0.1)
    trainer.sample(loss=float("nan"), grad_norm=50.0, lr=0.1)


def test_monitor_and_files_tell_the_same(runs: Path, url: str, trainer: ScriptedTrainer) -> None:
    """But for what only a monitor counts, and for the word for a run that goes on."""
    incident(trainer)
    until(lambda: interventions_of(trainer.run))
    trainer.apply(interventions_of(trainer.run)[0])
    until(lambda: data("--url", url)["runs"][0]["actions"]["applied"] == 1)
    [asked] = data("--url", url)["runs"]
    [read] = data(runs)["runs"]
    assert asked.pop("nonfinite") == {"loss": 1}
    assert (asked.pop("state"), read.pop("state")) == ("driven", "open")
    assert asked == read
    assert (
        asked["last_decision"]["text"] == "GradientExplosion holds: hold_in_flight, GradientExplosion.0.6 is under way"
    )
    assert (asked["firing"], asked["health"]["word"]) == (["GradientExplosion"], "in trouble")
    assert asked["signals"] == {"loss": "NaN", "grad_norm": 50.0, "lr": 0.1}


def test_the_table(runs: Path, url: str, new_trainer: NewTrainer) -> None:
    """Numbers and words, the run in trouble first."""
    well, ill = new_trainer("a-well"), new_trainer("b-ill")
    for trainer in (well, ill):
        trainer.hello()
    incident(ill)
    well.samples(3)
    until(lambda: [run["step"] for run in data("--url", url)["runs"]] == [7, 3])
    shown = status("--url", url).stdout.splitlines()
    assert shown == [line.rstrip() for line in shown]
    lines = [re.sub(r"\s+", " ", line.strip()) for line in shown]
    assert lines[0] == f"{url}: 2 runs, 1 in trouble"
    assert lines[2] == "run state step epoch loss lr last sample"
    assert re.fullmatch(r"b-ill in trouble 7 - NaN 0\.1 2\d s ago", lines[3])
    assert lines[4:6] == ["firing: GradientExplosion", "1 intervention: no answer yet"]
    assert re.fullmatch(r"a-well healthy 3 - 1 - 2\d s ago", lines[7])


def test_a_run_that_is_only_observed(runs: Path, book: RuleBook, trainer: ScriptedTrainer) -> None:
    """How often rules would have acted."""
    driver = Driver(trainer.run, book.with_mode("observe"))
    trainer.samples(21, loss=1.0, grad_norm=50.0)
    driver.drain(0.0)
    driver.close()
    lines = [line.strip() for line in status(runs).stdout.splitlines()]
    assert "rules that only observe would have acted 3 times" in lines
    assert lines[-1] == "last decision, step 21: GradientExplosion would have acted: scale_lr by 0.5"


def test_a_run_that_waits_and_one_that_failed(runs: Path, new_trainer: NewTrainer) -> None:
    """For how long, and of what; from the files as well."""
    waits, failed = new_trainer("waits"), new_trainer("failed")
    for trainer in (waits, failed):
        trainer.hello()
        trainer.samples(3)
    waits.ack("pause")
    failed.goodbye(error="RuntimeError: out of memory")
    lines = [re.sub(r"\s+", " ", line.strip()) for line in status(runs).stdout.splitlines()]
    assert any(line.startswith("waits paused 3 - 1 - ") for line in lines)
    assert re.fullmatch(r"paused for 2\d s", lines[lines.index(next(x for x in lines if x.startswith("waits"))) + 1])
    assert any(line.startswith("failed failed with an error 3 - 1 - ") for line in lines)
    assert "RuntimeError: out of memory" in lines


def test_without_a_monitor_that_is_said(runs: Path, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local monitor is asked first; if there is none, ./runs is read. A run that nobody judged is not healthy."""
    trainer.samples(3)
    monkeypatch.chdir(runs.parent)
    monkeypatch.setattr("trainguard_monitor.client.DEFAULT_URL", "http://127.0.0.1:1")
    shown = status().stdout
    assert "no monitor answers at http://127.0.0.1:1; read from files: rules are as the last monitor" in shown
    assert "not judged" in shown
    monkeypatch.chdir(runs)
    nothing = status()
    assert nothing.exit_code == 4
    assert "there is no directory runs/: give RUNS_DIR or --url" in nothing.stderr


def test_nothing_is_written(runs: Path, trainer: ScriptedTrainer) -> None:
    """Reading leaves no trace, and no lease is taken."""
    incident(trainer)
    before = {path: path.stat().st_mtime_ns for path in [runs, *runs.rglob("*")]}
    assert status(runs).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in [runs, *runs.rglob("*")]} == before


def test_faults(runs: Path) -> None:
    """A directory that is not there, an address where nobody is, and one that is none."""
    assert status(runs / "none").exit_code == 2
    assert status("--url", "127.0.0.1:1").exit_code == 4
    wrong = status("--url", "ftp://x")
    assert (wrong.exit_code, "is no address of a monitor" in wrong.stderr) == (2, True)
    assert status("--watch", runs).exit_code == 2  # no terminal
    assert status(runs).stdout.startswith(f"{runs}: no run yet\n")


def test_a_run_that_cannot_be_read(runs: Path, trainer: ScriptedTrainer) -> None:
    """Of another schema: shown, first, with the reason."""
    trainer.run.info_file.write_text('{"schema": 99}')
    [run] = data(runs)["runs"]
    assert (run["state"], run["health"]["word"]) == ("failed", "can't be followed")
    assert "run.json" in run["error"]
    assert run["error"] in re.sub(r"\s+", " ", status(runs).stdout)


# -- glances -----------------------------------------------------------------------------------------------


def test_a_glance_reads_the_end_of_a_long_run_and_then_what_is_new(trainer: ScriptedTrainer) -> None:
    """However long the telemetry, and across segments and processes."""
    trainer.samples(2000)
    glance = Glance(trainer.run)
    trainer.sample(loss=7.0)
    assert (trainer.run.telemetry / "000001.jsonl").stat().st_size > TAIL_BYTES / 4
    assert (glance.look()["step"], glance.look()["signals"]["loss"]) == (2001, 7.0)
    trainer.close()
    trainer.writer = trainer.run.write_telemetry()
    trainer.generation = 1
    trainer.hello()
    assert glance.look()["signals"] == {}
    trainer.sample(loss=8.0)
    assert glance.look()["signals"] == {"loss": 8.0}
    trainer.goodbye()
    assert glance.look()["state"] == "ended"
    assert {**glance.look()} == {**Glance(trainer.run).look()}


def test_only_the_end_is_read(trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies before the end is not even opened."""
    monkeypatch.setattr("trainguard_monitor.recorded.glance.TAIL_BYTES", 1000)
    trainer.sample(other=1.0)
    trainer.samples(50)
    trainer.close()
    trainer.writer = trainer.run.write_telemetry()
    trainer.samples(50)
    (trainer.run.telemetry / "000001.jsonl").write_bytes(b"")
    shown = Glance(trainer.run).look()
    assert (shown["step"], sorted(shown["signals"])) == (101, ["grad_norm", "loss"])


def test_requests_that_wait(trainer: ScriptedTrainer) -> None:
    """As the monitor has them: until they are answered, or come to nothing."""
    driver = Driver(trainer.run, load_text(ASKS))
    trainer.sample(loss=20.0)
    driver.drain(0.0)
    assert driver.view().requests == ("Asks.0.1",)
    glance = Glance(trainer.run)
    assert glance.look()["waiting"] == ["Asks.0.1"]
    trainer.goodbye()
    driver.drain(0.0)
    driver.close()
    assert driver.view().requests == ()
    assert glance.look()["waiting"] == []


def test_a_request_that_nobody_answered_is_no_failure(runs: Path, trainer: ScriptedTrainer) -> None:
    """It is asked again, and how often is told; no action has come to nothing."""
    driver = Driver(trainer.run, load_text(ASKS))
    trainer.samples(230, loss=20.0)
    driver.drain(0.0)
    driver.close()
    lines = [line.strip() for line in status(runs).stdout.splitlines()]
    assert "Asks.0.203 waits for approval" in lines
    assert "a person was asked 3 times" in lines
    assert not any("intervention" in line for line in lines)
    assert data(runs)["runs"][0]["actions"]["withdrawn"] == 2


def test_what_fired_under_rules_that_are_gone_fires_no_more(trainer: ScriptedTrainer, tmp_path: Path) -> None:
    """What the new rules have, too, goes on; nobody will ever write that the others are over."""
    files = [tmp_path / "before.yaml", tmp_path / "after.yaml"]
    files[0].write_text(TWO)
    files[1].write_text(TWO.replace("Gone", "Other"))
    driver = Driver(trainer.run, load_rules([str(files[0])]))
    trainer.sample(loss=20.0)
    driver.drain(0.0)
    glance = Glance(trainer.run)
    assert glance.look()["firing"] == ["Stays", "Gone"]
    driver.replace_rules(load_rules([str(files[1])]))
    while driver.is_changing_rules:
        driver.poll(0.0)
        driver.change_rules()
    assert glance.look()["firing"] == Glance(trainer.run).look()["firing"] == ["Stays"]
    files[1].unlink()
    assert Glance(trainer.run).look()["firing"] == []
    trainer.sample(loss=1.0)
    trainer.sample(loss=20.0)
    driver.drain(0.0)
    driver.close()
    assert glance.look()["firing"] == Glance(trainer.run).look()["firing"] == ["Stays", "Other"]


def test_a_run_without_anything(runs: Path) -> None:
    """A trainer that has only introduced itself."""
    trainer = ScriptedTrainer(runs / "a")
    shown = Glance(RunDirectory(runs / "a")).look()
    assert (shown["state"], shown["step"], shown["last_sample"], shown["last_decision"]) == ("open", 0, None, None)
    trainer.close()


# -- words -------------------------------------------------------------------------------------------------

WELL = {
    "state": "driven",
    "firing": [],
    "pending": [],
    "waiting": [],
    "last_sample": 1000.0,
    "last_record": 1000.0,
    "paused_since": None,
    "goodbye": None,
    "signals": {"step_seconds": 2.0},
    "rules_sha256": "0",
}
FINISHED = {"state": "ended", "goodbye": {"outcome": "finished"}}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"state": "failed"}, "can't be followed"),
        ({"firing": ["A"]}, "in trouble"),
        ({"firing": ["W"], "waiting": ["W.0.1"]}, "waiting for you"),
        ({"last_record": 900.0}, "silent for 2 min"),
        ({"last_record": 900.0, "signals": {"step_seconds": 10.0}}, "healthy"),
        ({"last_sample": 900.0}, "healthy"),
        ({"last_sample": 900.0, "paused_since": 900.0}, "paused"),
        ({"last_sample": 900.0, "paused_since": 900.0, "firing": ["A"]}, "paused in trouble"),
        ({"last_record": 900.0, "paused_since": 900.0}, "silent for 2 min"),
        ({"firing": ["W"]}, "warning"),
        ({"signals": {"loss": "NaN"}}, "loss is NaN"),
        ({"signals": {"loss": "NaN"}, "firing": ["A"]}, "in trouble"),
        (FINISHED | {"signals": {"loss": "Infinity"}}, "finished, loss is Infinity"),
        ({"last_sample": None}, "no sample yet"),
        ({"pending": ["A"]}, "on watch"),
        ({}, "healthy"),
        ({"state": "open", "rules_sha256": ""}, "not judged"),
        (FINISHED | {"firing": ["A"]}, "finished in trouble"),
        (FINISHED | {"firing": ["W"]}, "finished"),
        (FINISHED | {"goodbye": {"outcome": "stopped"}, "firing": ["A"]}, "stopped in trouble"),
        (FINISHED | {"goodbye": {"outcome": "failed"}, "firing": ["A"]}, "failed with an error"),
        (FINISHED | {"rules_sha256": ""}, "finished, never judged"),
        ({"state": "held"}, "held by another monitor"),
    ],
)
def test_health(change: dict, word: str) -> None:
    """The state of a run in a word."""
    assert health_of({**WELL, **change}, {"W": "warning"}, 1010.0).word == word


def test_urgency() -> None:
    """What can't be followed comes before trouble, that before a pause, that before silence, and so on."""
    changes = [
        {"state": "failed"},
        {"firing": ["A"]},
        {"paused_since": 900.0},
        {"last_record": 900.0},
        {"firing": ["W"]},
        {"pending": ["A"]},
        {},
        FINISHED | {"firing": ["A"]},
        FINISHED,
        {"state": "held"},
    ]
    ranks = [health_of({**WELL, **change}, {"W": "warning"}, 1010.0).rank for change in changes]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_watching_on_a_terminal(runs: Path, trainer: ScriptedTrainer) -> None:
    """It shows what changes, until it is interrupted, and ends with 0."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "trainguard_monitor", "status", str(runs), "--watch"]
    process = subprocess.Popen(command, stdout=terminal, stderr=subprocess.STDOUT, env=environment)
    os.close(terminal)
    shown = b""
    trainer.samples(3)

    def sees(pattern: bytes) -> bool:
        nonlocal shown
        shown += os.read(controller, 65536)
        return re.search(pattern, shown) is not None

    until(lambda: sees(rb"not judged\x1b\[0m +3 "))
    trainer.samples(4)
    until(lambda: sees(rb"not judged\x1b\[0m +7 "))
    process.send_signal(2)
    assert process.wait(60) == 0
    os.close(controller)
