"""The deployment files, as far as they can be held against anything without an engine to run them."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from tests.support.daemons import daemon, free_port
from tests.support.tools import need, need_module
from trainguard_monitor.cli import main
from trainguard_monitor.private import is_private
from trainguard_rules import load_rules

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_objects_are_valid():
    validate = need_module("kubernetes_validate")
    for document in documents(DEPLOY / "kubernetes.yaml"):
        validate.validate(document, "1.33", strict=True)


def test_the_rules_in_the_config_map_are_the_example_and_pass_the_check():
    """And act on nothing: who copies an example has thresholds that nobody chose for the run."""
    example = DEPLOY / "guards.yaml"
    rules = documents(DEPLOY / "kubernetes.yaml")[0]["data"]
    assert list(rules) == [example.name]
    assert example.read_text().endswith(rules[example.name])
    checked = CliRunner().invoke(main, ["check", str(example)])
    assert checked.exit_code == 0, checked.stderr
    assert {rule.mode for rule in load_rules([str(example)]).rules} == {"observe"}


def _monitor_arguments() -> list[list[str]]:
    job = documents(DEPLOY / "kubernetes.yaml")[1]
    compose = documents(ROOT / "grafana" / "compose.yaml")[0]
    return [
        job["spec"]["template"]["spec"]["initContainers"][0]["args"],
        compose["services"]["monitor"]["command"],
        _command_of_the_unit()[1:],
    ]


def _command_of_the_unit() -> list[str]:
    unit = (DEPLOY / "trainguard.service").read_text()
    [command] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return command.removeprefix("ExecStart=").split()


def test_the_monitor_may_read_the_token_that_kubernetes_mounts():
    """As a file of root's, with this mode, for the group that the pod has."""
    pod = documents(DEPLOY / "kubernetes.yaml")[1]["spec"]["template"]["spec"]
    [mode] = [volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume]
    us = pod["securityContext"]["runAsUser"]
    assert "fsGroup" in pod["securityContext"]
    assert is_private(int(str(mode), 8), owner=0, us=us)


@pytest.mark.parametrize("arguments", _monitor_arguments(), ids=("kubernetes", "compose", "systemd"))
def test_the_monitor_knows_its_options(arguments: list[str]):
    at = arguments.index("monitor")
    for command, given in (main, arguments[:at]), (main.commands["monitor"], arguments[at + 1 :]):
        known = {option for each in command.params for option in each.opts}
        assert {argument.partition("=")[0] for argument in given if argument.startswith("--")} <= known


def test_the_unit_is_valid(tmp_path: Path):
    """But for its program, which stands where nothing is installed here."""
    unit = tmp_path / "trainguard.service"
    unit.write_text((DEPLOY / "trainguard.service").read_text().replace(_command_of_the_unit()[0], sys.executable))
    run(need("systemd-analyze"), "verify", "--man=no", str(unit))


def test_the_command_of_the_unit_starts_a_monitor(tmp_path: Path):
    """From the files that the page has installed, under other paths: with the rules beside them, and with the token."""
    runs, port = tmp_path / "runs", free_port()
    places = {"/srv/runs": str(runs), "/etc/trainguard": str(tmp_path), "9464": str(port)}
    for name in ("trainguard.toml", "guards.yaml"):
        (tmp_path / name).write_text(_moved((DEPLOY / name).read_text(), places))
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("0" * 64)
    arguments = [_moved(argument, places) for argument in _command_of_the_unit()[1:]]
    url = f"http://127.0.0.1:{port}"
    with daemon([sys.executable, "-m", "trainguard_monitor", *arguments], f"{url}/-/ready", tmp_path / "log"):
        [*_, ours] = httpx.get(f"{url}/api/v1/rules").json()["data"]["groups"]
        assert ours["file"] == str(tmp_path / "guards.yaml")
        assert httpx.get(f"{url}/api/v1/monitor").json()["data"]["takes_orders"]
        assert runs.is_dir()


def _moved(text: str, places: dict[str, str]) -> str:
    for place, other in places.items():
        text = text.replace(place, other)
    return text


def test_the_dockerfile_is_clean():
    run(need("hadolint"), str(DEPLOY / "Dockerfile"))


def test_the_image_gets_what_the_wheel_is_built_from():
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept >= {"wire", "rules", "trainer", "monitor", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}


@pytest.mark.parametrize("code", [0, 7])
def test_the_slurm_job_ends_as_the_training_does(tmp_path: Path, code: int):
    done = subprocess.run(["bash", DEPLOY / "slurm.sh"], env=_job(tmp_path, f"exit {code}"), capture_output=True)
    assert done.returncode == code, done.stderr


def test_the_slurm_job_passes_the_signal_on(tmp_path: Path):
    """And waits for the training, which may have a checkpoint to write."""
    script = "trap 'sleep 0.3; echo saved > saved; exit 3' TERM; touch begun; while :; do sleep 0.05; done"
    job = subprocess.Popen(["bash", DEPLOY / "slurm.sh"], env=_job(tmp_path, script), cwd=tmp_path)
    while not (tmp_path / "begun").exists():
        assert job.poll() is None
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 3
    assert (tmp_path / "saved").exists()


def test_the_slurm_job_waits_through_a_second_signal(tmp_path: Path):
    """As `scancel` sends one behind that of the end of the time."""
    script = "trap 'touch told; sleep 0.5; echo saved > saved; exit 3' TERM; touch begun; while :; do sleep 0.05; done"
    job = subprocess.Popen(["bash", DEPLOY / "slurm.sh"], env=_job(tmp_path, script), cwd=tmp_path)
    for file in ("begun", "told"):
        while not (tmp_path / file).exists():
            assert job.poll() is None
        job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 3
    assert (tmp_path / "saved").exists()


def _job(folder: Path, training: str) -> dict[str, str]:
    """An environment in which ``trainguard run ... -- python train.py`` runs this instead."""
    commands = folder / "bin"
    commands.mkdir()
    stand_in = commands / "trainguard"
    stand_in.write_text(f"#!{shutil.which('bash')}\n{training}\n")
    stand_in.chmod(0o755)
    return {"PATH": f"{commands}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(folder)}
