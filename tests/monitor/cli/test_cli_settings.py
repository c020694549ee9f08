"""Options from the command line, the environment and a file; and completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trainguard_monitor.cli import main
from trainguard_monitor.cli.settings import settable


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, [*map(str, arguments)], catch_exceptions=False)


def address_asked(*arguments: object, **environment: str) -> str:
    """Which monitor ``trainguard status`` would have asked; there is none at any of these."""
    result = run(*arguments, **environment)
    assert result.exit_code == 4, result.stderr
    return result.stderr.split("http://127.0.0.1:")[1].split(":")[0]


def test_the_command_line_then_the_environment_then_the_file(here: Path) -> None:
    """In that order of strength."""
    (here / "trainguard.toml").write_text('[status]\nurl = "127.0.0.1:1"\n')
    assert address_asked("status") == "1"
    assert address_asked("status", TRAINGUARD_STATUS_URL="127.0.0.1:2") == "2"
    assert address_asked("status", "--url=127.0.0.1:3", TRAINGUARD_STATUS_URL="127.0.0.1:2") == "3"


def test_another_file(here: Path) -> None:
    """``--config`` or its variable name it, and then the one in the working directory is not read."""
    (here / "trainguard.toml").write_text("nonsense")
    (here / "other.toml").write_text('[status]\nurl = "127.0.0.1:1"\n')
    assert address_asked("--config", "other.toml", "status") == "1"
    assert address_asked("status", TRAINGUARD_CONFIG="other.toml") == "1"
    assert run("status", here, TRAINGUARD_CONFIG=os.devnull).exit_code == 0


def test_of_two_options_that_exclude_each_other_the_stronger_counts(here: Path) -> None:
    """A URL in the file does not forbid a directory on the command line."""
    (here / "trainguard.toml").write_text('[status]\nurl = "127.0.0.1:1"\njson = true\n')
    assert json.loads(run("status", here).stdout)["from"] == "files"
    assert run("status", TRAINGUARD_STATUS_RUNS_DIR=str(here)).exit_code == 0
    both = run("status", here, "--url=127.0.0.1:1")
    assert both.exit_code == 2
    assert "give one of them" in both.stderr


def test_lists_and_flags(here: Path, rules_file: Path) -> None:
    """An option that may be repeated is a list, or one text; a flag is true or false."""
    (here / "trainguard.toml").write_text(f"[explain]\nrules = [{str(rules_file)!r}]\n[check]\njson = true\n")
    assert run("explain", "LossSpike").exit_code == 2
    assert run("explain", "GradientExplosion").exit_code == 0
    assert json.loads(run("check", rules_file).stdout)["ok"] is True
    (here / "trainguard.toml").write_text(f"[explain]\nrules = {str(rules_file)!r}\n")
    assert run("explain", "GradientExplosion").exit_code == 0


def test_everything_wrong_with_a_file_is_told_with_its_line(here: Path) -> None:
    """Unknown commands and options, and values of another kind; nothing is run."""
    (here / "trainguard.toml").write_text(
        "# ours\n"
        "[monitor]\n"
        'lissten = "127.0.0.1:1"\n'
        'log-format = "xml"\n'
        'polling = "yes"\n'
        "rules = [1, true]\n"
        "[demo]\n"
        'epochs = "many"\n'
        "stop-with-stdin = true\n"
        "[statsu]\n"
        'url = "x"\n'
        "[schema]\n"
        "x = 1\n"
    )
    result = run("status", here)
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: trainguard.toml:3: [monitor] lissten: there is no such option; did you mean 'listen'?\n"
        "trainguard.toml:4: [monitor] log-format: 'xml' is not one of 'text', 'json'.\n"
        "trainguard.toml:5: [monitor] polling: want true or false, not 'yes'\n"
        "trainguard.toml:6: [monitor] rules: want a list of texts, not [1, True]\n"
        "trainguard.toml:8: [demo] epochs: 'many' is not a valid integer range.\n"
        "trainguard.toml:9: [demo] stop-with-stdin: there is no such option "
        f"(there are {', '.join(settable(main.commands['demo']))})\n"
        "trainguard.toml:10: statsu: there is no such command; did you mean 'status'?\n"
        "trainguard.toml:13: [schema] x: there is no such option; schema has no options\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[monitor\n", "trainguard.toml:1:9: not TOML: Expected ']'"),
        ("monitor = 3\n", "trainguard.toml:1: monitor: want a table, [monitor], not 3"),
        ("\nmonitor.lissten = 3\n", "trainguard.toml:2: [monitor] lissten: there is no such option"),
        ("\nmonitor = {lissten = 3}\n", "trainguard.toml:2: [monitor] lissten: there is no such option"),
        ('["monitor"]\n\n"lissten" = 3\n', "trainguard.toml:3: [monitor] lissten: there is no such option"),
    ],
)
def test_other_ways_to_write_a_file(here: Path, text: str, message: str) -> None:
    """TOML has several; each is told with its line."""
    (here / "trainguard.toml").write_text(text)
    result = run("status", here)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_is_asked_for_and_not_there(here: Path) -> None:
    """A misspelt name is no reason to go on without it."""
    result = run("--config", "none.toml", "status", here)
    assert (result.exit_code, result.stderr) == (2, "Error: none.toml: no such file\n")


def test_the_monitor_beside_a_training_takes_nothing_of_another_ones(here: Path) -> None:
    """``trainguard run`` has its own table and variables; those of ``trainguard monitor`` are not for its sidecar."""
    (here / "trainguard.toml").write_text('[monitor]\nrules = "no_such_pack"\n[run]\nruns = "made"\n')
    command = [sys.executable, "-m", "trainguard_monitor", "run", "--", sys.executable, "-c", "print('trained')"]
    environment = {**os.environ, "TRAINGUARD_MONITOR_LOG_LEVEL": "nonsense", "TRAINGUARD_RUN_LOG_FORMAT": "json"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    first, last = (json.loads(line) for line in done.stderr.splitlines())
    assert first["message"].startswith("watching made, ")
    assert last["level"] == "warning"
    assert (here / "made").is_dir()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    """One for each shell."""
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_TRAINGUARD_COMPLETE" in result.stdout


def test_bash_completes(tmp_path: Path) -> None:
    """In a real shell, with the script that we print."""
    (tmp_path / "trainguard").write_text(f'#!/bin/sh\nexec {sys.executable} -m trainguard_monitor "$@"\n')
    (tmp_path / "trainguard").chmod(0o755)
    script = (
        'eval "$(trainguard completion bash)"\n'
        "complete() { COMP_WORDS=($@) COMP_CWORD=$(($# - 1)) COMPREPLY=(); _trainguard_completion $1; "
        "echo ${COMPREPLY[@]}; }\n"
        "complete trainguard expl; complete trainguard monitor --log-f\n"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["explain", "--log-format"]
