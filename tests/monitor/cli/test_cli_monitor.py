"""``trainguard monitor`` as a process of its own."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.monitor.helpers import (
    BAD_RULES,
    RULES,
    ScriptedTrainer,
    derived_in,
    interventions_of,
    openings_of,
    until,
)
from trainguard_monitor.http.server import address_of
from trainguard_wire import Decision, Lease

TRAINGUARD = [sys.executable, "-m", "trainguard_monitor"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``trainguard ARGUMENTS``; whatever still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: int) -> "subprocess.Popen[str]":
        command = [*TRAINGUARD, *map(str, arguments)]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*TRAINGUARD, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_watches_serves_and_drains(
    start: Start, runs: Path, rules_file: Path, trainer: ScriptedTrainer, tmp_path: Path
) -> None:
    """From ready to SIGTERM: acts, answers HTTP at the address it wrote, reads everything to the end, exits with 0."""
    ready = tmp_path / "ready"
    process = start("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready)
    until(ready.exists)
    url = f"http://{ready.read_text().strip()}"
    trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: len(interventions_of(trainer.run)) == 1)
    assert 'trainguard_decisions_total{rule="GradientExplosion",run="a",verdict="act"} 1.0' in _get(f"{url}/metrics")
    assert _get(f"{url}/-/ready") == "trainguard is ready.\n"
    trainer.samples(3000)
    trainer.sample(loss=1.0, grad_norm=50.0)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"serving {url}/metrics" in errors
    assert "Traceback" not in errors
    assert [r.step for r in derived_in(trainer.run) if isinstance(r, Decision)] == [1, 3002]
    Lease.take(trainer.run.monitor_lock).release()


def test_killed_and_started_again(start: Start, runs: Path, rules_file: Path, trainer: ScriptedTrainer) -> None:
    """After kill -9 the next monitor takes the run at once, repeats nothing, and goes on acting."""
    arguments = ("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0")
    first = start(*arguments)
    trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: len(interventions_of(trainer.run)) == 1)
    first.kill()
    first.wait()
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.samples(10)
    trainer.sample(loss=1.0, grad_norm=50.0)
    start(*arguments)
    until(lambda: len(interventions_of(trainer.run)) == 2)
    assert [message.step for message in interventions_of(trainer.run)] == [1, 12]
    assert [r.step for r in derived_in(trainer.run) if isinstance(r, Decision)] == [1, 12]


def test_makes_the_directory_and_logs_json(start: Start, rules_file: Path, tmp_path: Path) -> None:
    """RUNS_DIR need not be there; log lines are JSON objects when asked for."""
    process = start(
        "monitor", tmp_path / "new" / "runs", "--rules", rules_file, "--listen=127.0.0.1:0", "--log-format=json"
    )
    assert process.stderr is not None
    entry = json.loads(process.stderr.readline())
    assert (tmp_path / "new" / "runs").is_dir()
    assert entry["level"] == "info"
    assert "watching" in entry["message"]


def test_ends_when_its_standard_input_closes(start: Start, runs: Path, rules_file: Path, tmp_path: Path) -> None:
    """A sidecar does not outlive who started it, however that one died."""
    ready = tmp_path / "ready"
    arguments = ("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready)
    process = start(*arguments, "--stop-with-stdin", stdin=subprocess.PIPE)
    until(ready.exists)
    process.communicate(timeout=60)  # closes it
    assert process.returncode == 0


def test_bad_rules(runs: Path, tmp_path: Path) -> None:
    """Every problem of a rule file goes to standard error with its place, and the exit code is 2."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD_RULES)
    done = _run("monitor", runs, "--rules", bad)
    assert done.returncode == 2
    assert "bad.yaml:5:" in done.stderr
    assert "bad.yaml:6:" in done.stderr
    assert "Traceback" not in done.stderr


def test_address_in_use(runs: Path, rules_file: Path) -> None:
    """An address that somebody else has is named, and the exit code is 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = address_of(taken)
        done = _run("monitor", runs, "--rules", rules_file, "--listen", address)
    assert done.returncode == 2
    assert f"can't listen on {address}" in done.stderr


def test_single_run_that_is_held(trainer: ScriptedTrainer, rules_file: Path) -> None:
    """Another monitor drives the one run that was asked for: said who, exit code 3."""
    with Lease.take(trainer.run.monitor_lock):
        done = _run("monitor", trainer.run.path, "--rules", rules_file, "--listen=127.0.0.1:0")
    assert done.returncode == 3
    assert "already has a monitor (process" in done.stderr
    assert "Traceback" not in done.stderr


def test_single_run_of_another_schema(trainer: ScriptedTrainer, rules_file: Path) -> None:
    """A run that this version doesn't read is said to be one, and the exit code is 2."""
    trainer.run.info_file.write_text(json.dumps({**json.loads(trainer.run.info_file.read_text()), "schema": 99}))
    done = _run("monitor", trainer.run.path, "--rules", rules_file, "--listen=127.0.0.1:0")
    assert done.returncode == 2
    assert "run.json: schema 99, but this version reads schema 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_ready_file_that_can_not_be_written(runs: Path, rules_file: Path) -> None:
    """Is what the message is about."""
    done = _run("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", f"--ready-file={runs}/none/ready")
    assert done.returncode == 2
    assert "none/ready: can't be written: No such file or directory" in done.stderr
    assert "can't watch" not in done.stderr


def test_help_is_quick_and_torch_is_never_imported() -> None:
    """Neither the package nor any of its help loads torch, and help loads no server either."""
    script = (
        "import sys, trainguard_monitor.daemon, trainguard_monitor.http.app, trainguard_monitor.http.server\n"
        "assert 'torch' not in sys.modules and 'trainguard' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    script = (
        "import sys; from trainguard_monitor.cli import main\n"
        "main(['monitor', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'uvicorn', 'watchdog', 'trainguard_rules'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "Exit codes:" in done.stdout


def _get(url: str) -> str:
    return httpx.get(url, timeout=5).text


def test_sighup_loads_the_rules_anew(start: Start, runs: Path, rules_file: Path, tmp_path: Path) -> None:
    """As in Prometheus: bad rules are told and change nothing, good ones are in force at once."""
    ready = tmp_path / "ready"
    process = start("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready)
    until(ready.exists)
    url = f"http://{ready.read_text().strip()}"
    rules_file.write_text(BAD_RULES)
    process.send_signal(signal.SIGHUP)
    until(lambda: "trainguard_config_last_reload_successful 0.0" in _get(f"{url}/metrics"))
    rules_file.write_text(RULES.replace("> 10", "> 30"))
    process.send_signal(signal.SIGHUP)
    until(lambda: "trainguard_config_last_reload_successful 1.0" in _get(f"{url}/metrics"))
    assert "grad_norm > 30" in _get(f"{url}/api/v1/rules")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "did you mean 'grad_norm'?" in errors


def test_an_address_of_no_alertmanager(runs: Path, rules_file: Path) -> None:
    """It is named without its password, and the exit code is 2."""
    done = _run("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--alertmanager=ada:p4ss@host:9093")
    assert done.returncode == 2
    assert "Alertmanager 'host:9093': want http://HOST:PORT" in done.stderr


def test_acts_on_the_word_of_who_has_the_token(
    start: Start, runs: Path, rules_file: Path, trainer: ScriptedTrainer, tmp_path: Path
) -> None:
    """From the token file to the trainer's control; and nothing without it."""
    ready, token = tmp_path / "ready", tmp_path / "token"
    token.write_text("a-token-of-many-characters\n")
    token.chmod(0o600)
    process = start(
        "monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready, "--token-file", token
    )
    until(ready.exists)
    url = f"http://{ready.read_text().strip()}/api/v1/runs/a/actions"
    until(lambda: openings_of(trainer.run))
    body = {"actions": [{"stop": {}}]}
    assert httpx.post(url, json=body).status_code == 401
    answer = httpx.post(url, json=body, headers={"authorization": "Bearer a-token-of-many-characters"})
    assert answer.json()["data"]["decision"]["verdict"] == "act"
    assert [intervention.rule for intervention in interventions_of(trainer.run)] == ["manual"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("mode", "arguments", "complaint"),
    [
        (0o644, ["--token-file={token}"], "mode 0644 lets others than its owner at it: chmod 600"),
        (0o600, ["--token-file={token}.none"], "No such file or directory"),
        (0o600, ["--listen=0.0.0.0:0"], "can be reached from other machines: give --token-file, or listen on 127"),
        (0o644, ["--webhook-file={token}"], "webhook file {token}: mode 0644 lets others than its owner at it"),
        (0o600, ["--webhook-file={token}"], "line 1: wanted NAME and URL"),
    ],
)
def test_a_door_that_would_not_shut(
    runs: Path, rules_file: Path, tmp_path: Path, mode: int, arguments: list[str], complaint: str
) -> None:
    """Refuses to start, and says what to do."""
    token = tmp_path / "token"
    token.write_text("a-token-of-many-characters\n")
    token.chmod(mode)
    arguments = [argument.format(token=token) for argument in arguments]
    complaint = complaint.replace("{token}", str(token))
    done = _run("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_started_again_in_another_mode(start: Start, runs: Path, rules_file: Path, trainer: ScriptedTrainer) -> None:
    """Killed and started as act, observe and act: what was decided stays so, and only the present is decided anew."""

    def decided() -> list[tuple[int, str]]:
        return [(r.step, r.verdict) for r in derived_in(trainer.run) if isinstance(r, Decision)]

    story: list[tuple[int, str]] = []
    for mode, verdict in (("act", "act"), ("observe", "observe"), ("act", "act")):
        process = start("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--mode", mode)
        until(lambda: len(openings_of(trainer.run)) == len(story) + 1)
        trainer.samples(10)
        trainer.sample(loss=1.0, grad_norm=50.0)
        story.append((trainer.step, verdict))
        until(lambda: decided() == story)
        process.kill()
        process.wait()
        for intervention in interventions_of(trainer.run):
            if intervention.step == trainer.step:
                trainer.apply(intervention)
    assert [message.step for message in interventions_of(trainer.run)] == [11, 33]
    assert [opened.mode for opened in openings_of(trainer.run)] == ["act", "observe", "act"]
    assert [opened.from_record for opened in openings_of(trainer.run)] == [0, 13, 24]


def test_the_mode_outlasts_a_reload(
    start: Start,
    runs: Path,
    rules_file: Path,
    trainer: ScriptedTrainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Set in the environment: a file that is saved is loaded, and its rules still only observe; the API says so."""
    monkeypatch.setenv("TRAINGUARD_MONITOR_MODE", "observe")
    ready = tmp_path / "ready"
    start("monitor", runs, "--rules", rules_file, "--listen=127.0.0.1:0", "--ready-file", ready)
    until(ready.exists)
    url = f"http://{ready.read_text().strip()}/api/v1/runs/a"
    trainer.samples(3)
    until(lambda: openings_of(trainer.run))
    rules_file.write_text(RULES.replace("> 10", "> 30"))
    until(lambda: len(openings_of(trainer.run)) == 2)
    trainer.sample(loss=1.0, grad_norm=50.0)
    until(lambda: any(isinstance(record, Decision) for record in derived_in(trainer.run)))
    [rule] = httpx.get(url, timeout=5).json()["data"]["rules"]
    assert (rule["expr"], rule["mode"], rule["last_decision"]["verdict"]) == ("grad_norm > 30", "observe", "observe")
    assert [opened.mode for opened in openings_of(trainer.run)] == ["observe", "observe"]
    assert interventions_of(trainer.run) == []
