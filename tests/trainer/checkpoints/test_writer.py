"""The thread that writes: it comes and goes, and neither a slow nor a broken disk reaches the loop through it."""

import os
import subprocess
import sys
import weakref
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from tests.support.waiting import until
from tests.trainer.support import Monitor, Run, settle
from trainguard import Guard
from trainguard.checkpoints.disk import DiskRing
from trainguard.checkpoints.memory import Held
from trainguard.checkpoints.snapshot import Snapshot, _Buffers, num_bytes
from trainguard.checkpoints.writer import Writer


def held(step: int) -> Held:
    return Held(step, 0, 0.0, Snapshot({"x": torch.full((3,), step)}))


class Slow(DiskRing):
    """A disk that writes only what it is let to, one checkpoint at a time."""

    def __init__(self, folder: Path, keep: int = 9) -> None:
        super().__init__(folder, keep)
        self.begun, self.go = Event(), Event()

    def save(self, state: dict[str, Any], **what: Any) -> None:
        self.begun.set()
        assert self.go.wait(30)
        super().save(state, **what)


@pytest.fixture
def disk(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


def steps_on(disk: DiskRing) -> list[int]:
    return [manifest.step for manifest in disk.all()]


def test_one_is_written_one_waits_and_the_newest_wins(disk: Slow) -> None:
    """What had to make way is told; who waits is held, and who is done with is not."""
    writer = Writer(disk)
    checkpoints = [held(step) for step in range(4)]
    writer.write(checkpoints[0])
    assert disk.begun.wait(30)
    for checkpoint in checkpoints[1:]:
        writer.write(checkpoint)
    assert [writer.holds(checkpoint) for checkpoint in checkpoints] == [True, False, False, True]
    assert not writer.flush(0.01)
    disk.go.set()
    assert writer.flush(30)
    assert steps_on(disk) == [0, 3]
    assert [(problem.what, problem.step) for problem in writer.problems] == [
        ("checkpoint.skipped", 1),
        ("checkpoint.skipped", 2),
    ]
    assert not any(map(writer.holds, checkpoints))


def test_a_mark_waits_for_its_checkpoint(disk: Slow) -> None:
    """A promotion that comes while the checkpoint is still being written is made when it is there."""
    writer = Writer(disk)
    writer.write(held(1))
    writer.promote(step=1, generation=0, missed=True)
    writer.write(held(2))
    disk.go.set()
    assert writer.flush(30)
    assert [(m.step, m.status) for m in disk.all()] == [(1, "good"), (2, "candidate")]
    assert not writer.problems


def test_what_fails_is_told_and_the_next_is_written(disk: Slow) -> None:
    """An error of one checkpoint is not that of the next."""
    writer = Writer(disk)
    disk.go.set()
    (disk.folder / "step-00000001.tmp").write_text("in the way")
    for step in (1, 2):
        writer.write(held(step))
        assert writer.flush(30)
    assert steps_on(disk) == [2]
    (problem,) = writer.problems
    assert (problem.what, problem.step) == ("checkpoint", 1)
    assert isinstance(problem.error, FileExistsError)


def test_no_thread_to_be_had(disk: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a problem to tell, like a full disk."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    writer = Writer(disk)
    disk.go.set()
    with monkeypatch.context() as patched:
        patched.setattr("trainguard.checkpoints.writer.start_new_thread", refuse)
        writer.write(held(1))
        assert writer.flush(0)
    writer.write(held(2))
    assert writer.flush(30)
    assert steps_on(disk) == [2]
    assert [str(problem.error) for problem in writer.problems] == ["can't start new thread"]


def test_a_slow_disk_costs_checkpoints_on_disk_and_no_restore(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """Steps go on while the disk hangs; memory has the way back; what was skipped is counted, and said once."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep=9, keep_in_memory=4) as guard:
        settle(guard)
        checkpointer = guard._stepper._checkpointer
        disk = Slow(run_dir / "checkpoints")
        checkpointer._writer._ring = disk  # type: ignore[union-attr]
        run.train(guard, 5)
        monitor.promote(4)
        run.train(guard)
        monitor.ask(("restore_checkpoint", {}))
        run.train(guard)
        assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 4)
        disk.go.set()
    assert steps_on(disk) == [0, 1, 7]
    assert guard.errors["checkpoint.skipped"] == 5
    assert len([message for message in said.messages if "slower" in message]) == 1


@pytest.mark.parametrize("keep_in_memory", [0, 1, 2])
def test_memory_is_not_filled_anew_before_it_is_written(keep_in_memory: int, run_dir: Path) -> None:
    """However slow the disk is, it gets the state of the step that it is told."""
    run = Run()
    with Guard(
        run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep=9, keep_in_memory=keep_in_memory
    ) as guard:
        settle(guard)
        disk = Slow(run_dir / "checkpoints")
        guard._stepper._checkpointer._writer._ring = disk  # type: ignore[union-attr]
        for _ in range(3):
            disk.go.clear()
            run.train(guard, 4)
            disk.go.set()
            settle(guard)
    manifests = list(disk.all())
    assert [manifest.step for manifest in manifests] == [0, 1, 4, 5, 8, 9, 12]
    for manifest in manifests:
        assert disk.load(manifest)["model"]["layers.1.num_batches_tracked"] == manifest.step


@pytest.mark.parametrize(("keep_in_memory", "fit"), [(0, 2), (1, 2), (2, 2), (2, 3), (9, 4)])
def test_memory_is_bounded_even_while_the_disk_is_slow(
    keep_in_memory: int, fit: int, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that wait or are being written count too, and so does the one that is being made."""
    live: set[int] = set()
    most = []

    class Counted(_Buffers):
        def __init__(self, *what: Any, **how: Any) -> None:
            super().__init__(*what, **how)
            live.add(id(self))
            most.append(len(live))
            weakref.finalize(self, live.discard, id(self))

    run = Run(lambda parameters: torch.optim.SGD(parameters, lr=0.1))  # no moments: the size stays
    monkeypatch.setattr("trainguard.checkpoints.snapshot._Buffers", Counted)
    with Guard(run.model, run.optimizer, run_dir=run_dir.with_name("probe"), keep_in_memory=1) as guard:
        size = num_bytes(guard._stepper._checkpointer._memory._held[0].snapshot.tree)  # type: ignore[union-attr]
        settle(guard)
    live.clear(), most.clear()
    monkeypatch.setattr("trainguard.checkpoints.checkpointer.memory_limit", lambda: size * fit)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep_in_memory=keep_in_memory) as guard:
        settle(guard)
        disk = Slow(run_dir / "checkpoints")
        guard._stepper._checkpointer._writer._ring = disk  # type: ignore[union-attr]
        run.train(guard, 12)
        disk.go.set()
    assert max(most) <= min(fit, keep_in_memory + 2)
    assert set(guard.errors) == {"checkpoint.skipped"}


def test_a_disk_that_hangs_cannot_hold_the_end_of_training(
    run_dir: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end, which is said."""
    monkeypatch.setattr(Writer.flush, "__defaults__", (0.05,))
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1) as guard:
        settle(guard)
        disk = Slow(run_dir / "checkpoints")
        guard._stepper._checkpointer._writer._ring = disk  # type: ignore[union-attr]
        run.train(guard)
    assert guard.errors == {"checkpoint": 1}
    assert "the disk did not take the last one within" in said.messages[0]
    disk.go.set()
    settle(guard)


def test_the_thread_ends_with_its_work(run_dir: Path) -> None:
    """In a guard that is never closed as well."""
    before = len(os.listdir("/proc/self/task"))
    run = Run()
    guard = Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1)
    run.train(guard, 5, settled=True)
    until(lambda: len(os.listdir("/proc/self/task")) <= before)


def test_tensors_are_let_go_of_before_all_is_done(disk: Slow) -> None:
    """Who hears that all is written may end the process, and a thread that frees a tensor then aborts it."""
    writer, checkpoint = Writer(disk), held(1)
    tensor, held_on_to = weakref.ref(checkpoint.snapshot), []

    class Watched(Event):
        def set(self) -> None:
            held_on_to.append(tensor() is not None)
            super().set()

    writer._idle = Watched()
    writer._idle.set()
    writer.write(checkpoint)
    assert disk.begun.wait(30)
    del checkpoint
    disk.go.set()
    assert writer.flush(30)
    assert held_on_to == [True, False]


def test_processes_that_end_in_the_middle_of_writing_end_in_order(tmp_path: Path) -> None:
    """Each time, and with nothing lost: see `exiting`."""
    command = [sys.executable, "-m", "tests.trainer.checkpoints.exiting", str(tmp_path), "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "6 x exit 0\n"), done.stderr


AT_EXIT = """
import os, sys, torch
from trainguard import Guard
from trainguard.checkpoints.disk import DiskRing
model = torch.nn.Linear(1000, 1000)
guard = Guard(model, torch.optim.SGD(model.parameters(), lr=1.0), run_dir=sys.argv[1], checkpoint_every=1)
if sys.argv[2] == "hangs":
    import threading
    from trainguard.checkpoints.writer import Writer
    Writer.flush.__defaults__ = (0.5,)
    DiskRing.save = lambda *_, **__: threading.Event().wait()
guard.step()
if sys.argv[2] == "works" and os.fork() == 0:
    sys.exit()
raise SystemExit(7)
"""


@pytest.mark.parametrize(("disk", "saved"), [("works", [0, 1]), ("hangs", [])])
def test_the_interpreter_exits_in_order(disk: str, saved: list[int], run_dir: Path) -> None:
    """A guard that was never closed still gets its checkpoints to disk; one with a disk that hangs ends without.

    A forked process, which has the guard and not its thread, waits for nothing.
    """
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(run_dir), disk], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert steps_on(DiskRing(run_dir / "checkpoints", 9)) == saved
