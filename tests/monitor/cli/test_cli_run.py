"""``trainguard run -- COMMAND`` as a process, with small scripts for trainings."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.monitor.helpers import BAD_RULES, openings_of
from tests.support.waiting import until
from trainguard_wire import RunDirectory

REPOSITORY = Path(__file__).parents[3]
BEGIN = """\
import os, sys, time
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.monitor import helpers
from tests.monitor.helpers import ScriptedTrainer, derived_in, interventions_of
from tests.support.waiting import until
helpers.START = time.time()
trainer = ScriptedTrainer(Path(os.environ["TRAINGUARD_RUNS"]) / "demo")
trainer.hello()
trainer.sample(loss=1.0, grad_norm=50.0)
"""
TRAINING = f"""\
{BEGIN}until(lambda: interventions_of(trainer.run))
trainer.apply(interventions_of(trainer.run)[0])
trainer.goodbye()
sys.exit(5)
"""
WATCHED = f"""\
{BEGIN}until(lambda: any(getattr(record, "verdict", "") == "observe" for record in derived_in(trainer.run)))
trainer.sample(loss=1.0, grad_norm=1.0)
trainer.goodbye()
sys.exit(len(interventions_of(trainer.run)))
"""
LASTS = """\
import time, pathlib
for _ in range(6000):
    if pathlib.Path({finish!r}).exists(): break
    time.sleep(0.01)
"""


@pytest.fixture
def base(rules_file: Path, tmp_path: Path) -> list[str]:
    """The command up to the training's."""
    command = [sys.executable, "-m", "trainguard_monitor", "run", "--runs", str(tmp_path / "made")]
    return [*command, "--rules", str(rules_file), "--"]


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _sidecars(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "monitor" in child.cmdline()]


def test_guards_a_training_and_sums_up(base: list[str], tmp_path: Path) -> None:
    """The training is acted upon, its exit code comes through, and the summary tells what was done."""
    script = tmp_path / "train.py"
    script.write_text(TRAINING.format(repository=str(REPOSITORY)))
    done = _run(*base, sys.executable, str(script))
    assert done.returncode == 5
    assert "demo: 1 intervention, 1 action applied" in done.stderr
    assert "status page at http://127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_in_mode_observe_nothing_acts(base: list[str], tmp_path: Path) -> None:
    """The training is told nothing; what the rules would have done is said at the end, and in the journal."""
    script = tmp_path / "train.py"
    script.write_text(WATCHED.format(repository=str(REPOSITORY)))
    done = _run(*base[:-1], "--mode", "observe", "--", sys.executable, str(script))
    assert done.returncode == 0, done.stderr
    assert f"watching {tmp_path / 'made'} in mode observe, status page at" in done.stderr
    assert "demo: no interventions, would have acted 1 time\n" in done.stderr
    [opened] = openings_of(RunDirectory(tmp_path / "made" / "demo"))
    assert opened.mode == "observe"


def test_hints_when_no_run_appears(base: list[str]) -> None:
    """A training that does not use trainguard gets a hint; its own options are left alone."""
    done = _run(*base, sys.executable, "-c", "print('trained')")
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert "no run appeared in" in done.stderr


def test_killed_by_a_signal(base: list[str]) -> None:
    """A training that a signal killed is 128 plus its number."""
    done = _run(*base, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert done.returncode == 128 + 9


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_hands_signals_on(base: list[str], signum: signal.Signals, tmp_path: Path) -> None:
    """The training gets the signal and decides how it ends; the monitor outlives it."""
    script = (
        "import signal, sys, time, pathlib\n"
        f"signal.signal({int(signum)}, lambda *_: sys.exit(7))\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).touch()\n"
        "time.sleep(30)"
    )
    process = _start(*base, sys.executable, "-c", script)
    until((tmp_path / "up").exists)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "no run appeared" in errors
    assert "Traceback" not in errors


def test_command_not_found(base: list[str]) -> None:
    """As a shell has it: 127, and 126 for what can't be executed."""
    done = _run(*base, "no-such-command")
    assert done.returncode == 127
    assert "no-such-command: command not found" in done.stderr
    assert _run(*base, "/").returncode == 126


def test_bad_rules_keep_the_training_from_starting(base: list[str], tmp_path: Path) -> None:
    """A mistake in the rules is told before any time is spent on training."""
    (tmp_path / "rules.yaml").write_text(BAD_RULES)
    done = _run(*base, "touch", str(tmp_path / "started"))
    assert done.returncode == 2
    assert "rules.yaml:5:" in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_training_survives_its_monitor(base: list[str], tmp_path: Path) -> None:
    """A monitor that dies is worth a warning; the training goes on to its own end."""
    finish = tmp_path / "finish"
    process = _start(*base, sys.executable, "-c", LASTS.format(finish=str(finish)))
    assert process.stderr is not None
    assert "watching" in process.stderr.readline()
    _sidecars(process)[0].kill()
    assert "the monitor has died; the training goes on" in process.stderr.readline()
    finish.touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_monitor_ends_with_its_session(base: list[str], tmp_path: Path) -> None:
    """Killed without a chance to clean up, ``run`` leaves no monitor behind."""
    process = _start(*base, sys.executable, "-c", LASTS.format(finish=str(tmp_path / "finish")))
    assert process.stderr is not None
    assert "watching" in process.stderr.readline()
    (sidecar,) = _sidecars(process)
    process.kill()
    (tmp_path / "finish").touch()
    process.communicate()
    until(lambda: not sidecar.is_running() or sidecar.status() == psutil.STATUS_ZOMBIE)
