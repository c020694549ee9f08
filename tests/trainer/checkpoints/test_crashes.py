"""Whatever dies or fails while a checkpoint is written: what is there is whole, and the next process goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.waiting import until
from tests.trainer.support import Monitor, Run, assert_same, full, weights_of
from trainguard import Guard
from trainguard.checkpoints.disk import DiskRing


def test_death_and_failure_at_each_call(tmp_path: Path) -> None:
    """At everything the ring does to the file system, and in the middle of a file: see `crashing`."""
    command = [sys.executable, "-m", "tests.trainer.checkpoints.crashing", str(tmp_path / "ring")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    number, _ = done.stdout.split(maxsplit=1)
    assert int(number) > 50


TRAINING = """
import sys, torch
from trainguard import Guard
model = torch.nn.Linear(1500, 1500)
guard = Guard(model, torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9), run_dir=sys.argv[1], checkpoint_every=1)
while True:
    model(torch.ones(1, 1500)).sum().backward()
    guard.step()
"""


def killed_while_writing(run_dir: Path) -> None:
    """A training that is killed, ``kill -9``, with a checkpoint half written."""
    training = subprocess.Popen([sys.executable, "-c", TRAINING, str(run_dir)])

    def caught() -> bool:
        training.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(training.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        if any(run_dir.glob("checkpoints/*[2-9].tmp/state.pt")):
            return True
        training.send_signal(signal.SIGCONT)
        return False

    try:
        until(caught)
    finally:
        training.kill()
        training.wait()


def test_a_training_killed_while_it_writes(run_dir: Path) -> None:
    """The next one in the directory finds whole checkpoints only, and removes the half."""
    killed_while_writing(run_dir)
    assert any(run_dir.glob("checkpoints/*.tmp"))
    ring = DiskRing(run_dir / "checkpoints", 3)
    before = {manifest.age_key for manifest in ring.all()}
    model = torch.nn.Linear(1500, 1500)
    Guard(model, torch.optim.SGD(model.parameters(), lr=1.0), run_dir=run_dir).close()
    assert not any(run_dir.glob("checkpoints/*.tmp"))
    found = list(ring.all())
    assert {manifest.age_key for manifest in found} >= before != set()
    for manifest in found:
        assert ring.load(manifest)["guard"]["step"] == manifest.step


def test_a_full_disk_leaves_the_way_back_in_memory(
    run_dir: Path, monitor: Monitor, small_disk: Path, said: pytest.LogCaptureFixture
) -> None:
    """Checkpoints fail whole and leave nothing behind; those in memory are promoted and restored all the same."""
    run_dir.mkdir()
    (run_dir / "checkpoints").symlink_to(small_disk)
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep_in_memory=3) as guard:
        run.train(guard, settled=True)
        with full(small_disk):
            run.train(guard, settled=True)
            weights = weights_of(run.model)
            monitor.promote(2)
            run.train(guard, 2, settled=True)
            monitor.ask(("restore_checkpoint", {}))
            run.train(guard)
            assert_same(run.model.state_dict(), weights)
            assert [path.name for path in small_disk.glob("step-*")] == ["step-00000000"]
        run.train(guard, settled=True)
        assert [path.name for path in small_disk.glob("step-*6")] == ["step-00000006"]
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 2)
    assert guard.errors == {"checkpoint": 2}
    assert len(said.messages) == 1
