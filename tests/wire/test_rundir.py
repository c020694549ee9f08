"""Run directories and leases."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tests.support.waiting import until
from trainguard_wire import Lease, LeaseHeld, RunDirectory, RunDirectoryError, RunInfo
from trainguard_wire.rundir import runs_in

INFO = RunInfo(run="a", pid=1, started=2.0, signals=("loss",), actions=("stop",))


def make_run(path):
    run = RunDirectory(path)
    run.create()
    run.write_info(INFO)
    return run


def test_run_json_round_trip(tmp_path):
    """Who wrote what is read back, and the file is one a person can read."""
    run = make_run(tmp_path / "a")
    assert run.read_info() == INFO
    assert '\n  "run": "a"' in run.info_file.read_text()
    assert [p.name for p in run.path.iterdir() if "tmp" in p.name] == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "it has no run.json"),
        ("{", "run.json: Input data was truncated"),
        ('{"run":"a"}', "missing required field `pid`"),
        ('{"run":"a","pid":1,"started":0,"signals":[],"actions":[],"schema":99}', "schema 99, but this version"),
        (b'{"run":"\xff"}', "run.json: .*can't decode byte 0xff"),
    ],
)
def test_what_is_not_a_run_is_said_so(tmp_path, content, complaint):
    """The error names the file and what is wrong with it."""
    if content is not None:
        (tmp_path / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunDirectoryError, match=complaint):
        RunDirectory(tmp_path).read_info()


def test_runs_are_found_by_name_and_a_run_is_its_own_directory(tmp_path):
    """Directories without a run.json are no runs (yet)."""
    make_run(tmp_path / "b")
    make_run(tmp_path / "a")
    (tmp_path / "c").mkdir()
    assert [run.name for run in runs_in(tmp_path)] == ["a", "b"]
    assert [run.name for run in runs_in(tmp_path / "b")] == ["b"]
    assert list(runs_in(tmp_path / "nowhere")) == []


def test_a_lease_has_one_holder(tmp_path):
    """The second is told who the first is."""
    holder = f"already has a monitor .process {os.getpid()} on"
    with Lease.take(tmp_path / "monitor.lock"), pytest.raises(LeaseHeld, match=holder):
        Lease.take(tmp_path / "monitor.lock")
    Lease.take(tmp_path / "monitor.lock").release()


def test_a_lease_that_cannot_be_written_is_not_held(tmp_path, monkeypatch):
    """A disk that was full for a moment does not lock the process out of its own run."""

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("trainguard_wire.lease.os.pwrite", no_space)
        with pytest.raises(OSError, match="No space left"):
            Lease.take(tmp_path / "monitor.lock")
    Lease.take(tmp_path / "monitor.lock").release()


def test_a_holder_whose_name_cannot_be_read_is_told_of_all_the_same(tmp_path):
    """What stands in the file is no more than a courtesy."""
    path = tmp_path / "monitor.lock"
    with Lease.take(path):
        path.write_bytes(b'{"pid":1,"host":"\xff"}')
        with pytest.raises(LeaseHeld, match="a process that has not said who it is"):
            Lease.take(path)


def test_a_lease_ends_with_its_holder_however_that_dies(tmp_path):
    """kill -9 leaves no stale lease."""
    path = tmp_path / "monitor.lock"
    code = "import sys, time, pathlib; from trainguard_wire import Lease\n"
    code += "lease = Lease.take(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LeaseHeld, match=f"process {holder.pid} on"):
            Lease.take(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Lease.take(path).release()


def is_free(lock):
    try:
        Lease.take(lock).release()
    except LeaseHeld:
        return False
    return True


def test_a_forked_child_does_not_keep_its_parents_lease(tmp_path):
    """A data-loader worker that outlives its trainer must not lock the run."""
    path = tmp_path / "trainer.lock"
    code = (
        "import os, sys, time, pathlib; from trainguard_wire import Lease\n"
        "lease = Lease.take(pathlib.Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if child == 0: os.close(1); time.sleep(600); os._exit(0)\n"
        "print(child, flush=True); os._exit(1)"
    )
    parent = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, check=False)
    child = int(parent.stdout)
    try:
        until(lambda: is_free(path))  # once the child has run its fork handler
    finally:
        os.kill(child, signal.SIGKILL)
