"""The disk fails under a training: it goes on, what was lost is counted, and each kind of failure is said once.

Real failures: a run directory that is removed, a directory that may not be written (by somebody without root's
powers), and a file system of half a megabyte that is full.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.embedded import RULES, train, trained_plainly
from tests.trainer.support import Monitor, Run, assert_same, full, settle
from trainguard import Guard
from trainguard_wire import CodecError, Heartbeat, decode_telemetry

NOBODY = 65534
Trouble = Callable[[], Any]


@contextmanager
def read_only(run: Path) -> Iterator[None]:
    """Nothing can be made or removed in the run's directories; for root, by working as nobody meanwhile."""
    folders = [run, *(path for path in run.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for folder in folders:
            folder.chmod(0o755)


@contextmanager
def removed(run: Path) -> Iterator[None]:
    shutil.rmtree(run)
    yield


TROUBLES = {"removed": removed, "read_only": read_only, "full": lambda run: full(run.parent)}


@pytest.fixture(params=TROUBLES)
def trouble(request: pytest.FixtureRequest, place: Path) -> tuple[str, Path]:
    """The name of a trouble, and a place for a run that can meet it."""
    disk = request.getfixturevalue("small_disk") if request.param == "full" else place
    return request.param, disk / "run"


@pytest.mark.parametrize("kind", ["process", "embedded"])
def test_training_goes_on_and_the_loss_is_counted_and_said_once(
    trouble: tuple[str, Path], kind: Any, said: pytest.LogCaptureFixture
) -> None:
    """The weights are those of the plain loop; what fails is in `errors`, in `lost` and in one warning each."""
    name, path = trouble
    plain, run = trained_plainly(20), Run()
    with Guard(
        run.model,
        run.optimizer,
        run_dir=path,
        checkpoint_every=3,
        keep_in_memory=0,
        monitor=kind,
        heartbeat_seconds=1e-6,
    ) as guard:
        train(run, guard, 5)
        settle(guard)
        assert guard.errors == {}
        with TROUBLES[name](path):
            train(run, guard, 10)
            lost = guard.lost
        train(run, guard, 5)
        errors = guard.errors
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert (lost > 0) == (name != "read_only"), "a file that is open can be written on"
    assert errors.keys() & {"checkpoint", "checkpoint.skipped"}
    assert ("telemetry" in errors) == bool(lost)
    assert name != "full" or any(text.startswith("checkpoint: OSError: [Errno 28]") for text in said.messages)
    assert len(said.messages) == len(guard.errors), "the end of the run tells of what the disk did last"
    if name != "removed":  # it came back: the last heartbeat told all of it
        told = last_heartbeat(path)
        assert (told.lost, told.errors) == (lost, errors)


@pytest.mark.parametrize("kind", ["process", "embedded"])
def test_what_went_into_a_deleted_file_counts_as_lost(place: Path, kind: Any) -> None:
    """It is noticed with the next heartbeat, and at the end; all that was written since the last one is counted."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=place / "run", checkpoint_every=None, monitor=kind) as guard:
        train(run, guard, 5)
        guard.heartbeat()
        shutil.rmtree(place / "run")
        train(run, guard, 10)
        assert guard.lost == 0
    assert guard.lost == 11, "ten samples and the goodbye"
    assert guard.errors["telemetry"] == 2


def last_heartbeat(run: Path) -> Heartbeat:
    """Of telemetry that may hold torn lines."""
    found = []
    for line in b"".join(path.read_bytes() for path in sorted(run.glob("telemetry/*"))).splitlines():
        try:
            found.append(decode_telemetry(line))
        except CodecError:
            continue
    return [record for record in found if isinstance(record, Heartbeat)][-1]


def test_an_embedded_monitor_still_acts(trouble: tuple[str, Path], said: pytest.LogCaptureFixture) -> None:
    """A fault in the middle of the trouble is answered; the journal tells of it once the disk is back."""
    name, path = trouble
    rules = path.parent / "rules.yaml"
    rules.write_text(RULES.replace("          - restore_checkpoint: {which: last_good}\n", ""))
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=path, checkpoint_every=None, monitor="embedded", rules=rules) as guard:
        train(run, guard, 5)
        with TROUBLES[name](path):
            train(run, guard, 10, bad=[8])
            assert guard.state_dict()["lr"]["scale"] == 0.5
        train(run, guard, 5)
    assert len(said.messages) == len(guard.errors)
    if name != "removed":
        journal = b"".join(file.read_bytes() for file in sorted(path.glob("journal/*")))
        assert journal.count(b'"verdict":"act"') == 1
        assert Monitor(path).directory.control.joinpath("000001.jsonl").read_bytes().count(b"Explosion.0.8.0") == 1
