"""Guards that follow each other in one process, as a notebook makes them."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard_wire import Hello, Lease, LeaseHeld

CELL = """\
run = Run()
guard = Guard(run.model, run.optimizer, run_dir=run_dir, monitor=judge, checkpoint_every=1)
run.train(guard, 2)
"""
TAKEN = "an earlier guard of this process has this run; call its close() before you make the next"


def generations(run_dir: Path) -> list[int]:
    return [record.generation for record in Monitor(run_dir).records() if isinstance(record, Hello)]


@pytest.mark.parametrize("judge", ["process", "embedded"])
def test_a_guard_that_was_dropped_is_in_nobodys_way(judge: str, run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """Whether or not the garbage has been collected since."""
    notebook = {"Run": Run, "Guard": Guard, "run_dir": run_dir, "judge": judge}
    gc.disable()
    try:
        for _ in range(3):
            exec(CELL, notebook)
            assert notebook.pop("guard").errors == {}
    finally:
        gc.enable()
    assert said.messages == []
    assert generations(run_dir) == [0, 1, 2]


def test_a_guard_that_is_still_there_is_named(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """A cell that is run twice has the first guard while it makes the second. Once that is closed there is room."""
    notebook = {"Run": Run, "Guard": Guard, "run_dir": run_dir, "judge": "process"}
    exec(CELL, notebook)
    first = notebook["guard"]
    exec(CELL, notebook)
    assert notebook["guard"].errors == {"run_directory": 1}
    assert TAKEN in said.text
    first.close()
    exec(CELL, notebook)
    assert notebook["guard"].errors == {}
    assert generations(run_dir) == [0, 1]


def test_a_lease_of_this_process_is_told_from_one_of_another(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    with Lease.take(path), pytest.raises(LeaseHeld) as held:
        Lease.take(path)
    assert held.value.is_own
    hold = "import sys; from pathlib import Path; from trainguard_wire import Lease; "
    hold += "lease = Lease.take(Path(sys.argv[1])); print('taken', flush=True); input()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(LeaseHeld) as held:
            Lease.take(path)
        other.communicate("\n", timeout=30)
    assert not held.value.is_own


def test_a_dropped_lease_ends(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    lease = Lease.take(path)
    del lease
    Lease.take(path).release()
