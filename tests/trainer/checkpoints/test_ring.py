"""Checkpoints on disk: a ring of whole directories, readable by anybody."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from tests.trainer.support import Monitor, Run, assert_same, weights_of
from trainguard import Guard
from trainguard.checkpoints.disk import Damaged, DiskRing
from trainguard_wire import CheckpointSaved


def statuses(run_dir: Path) -> dict[int, str]:
    return {manifest.step: manifest.status for manifest in DiskRing(run_dir / "checkpoints", 9).all()}


def test_the_ring_keeps_the_newest_and_the_newest_good_one(run_dir: Path, monitor: Monitor) -> None:
    """However old the good one is; an older good one goes."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep=2) as guard:
        run.train(guard, settled=True)
        monitor.promote(1)
        run.train(guard, 4, settled=True)
        assert statuses(run_dir) == {1: "good", 4: "candidate", 5: "candidate"}
        monitor.promote(5)
        monitor.promote(3)
        run.train(guard, 3, settled=True)
        assert statuses(run_dir) == {5: "good", 7: "candidate", 8: "candidate"}
    assert guard.errors == {}, "to promote what is gone is no loss while there is a good one"
    saved = [record for record in monitor.records() if isinstance(record, CheckpointSaved)]
    assert [record.step for record in saved] == list(range(9))
    assert all(record.seconds > 0 for record in saved)


def test_the_first_candidate_waits_for_a_late_monitor(run_dir: Path, monitor: Monitor) -> None:
    """While nothing is good yet the first stays, so that there is something to promote; what is gone is said."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep=2) as guard:
        run.train(guard, 6, settled=True)
        assert statuses(run_dir) == {0: "candidate", 5: "candidate", 6: "candidate"}
        monitor.promote(3)
        run.train(guard, settled=True)
        monitor.promote(0)
        run.train(guard, 2, settled=True)
        assert guard.errors == {"promotion": 1}
        assert statuses(run_dir) == {0: "good", 8: "candidate", 9: "candidate"}


def test_a_process_that_starts_over_replaces_and_outlives_the_older(run_dir: Path, monitor: Monitor) -> None:
    """Newer means a later generation first; what an earlier process promised is not promoted here."""
    for _ in range(2):
        run = Run()
        with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=1, keep=2) as guard:
            run.train(guard, 3, settled=True)
    assert statuses(run_dir) == {0: "candidate", 2: "candidate", 3: "candidate"}
    ring = DiskRing(run_dir / "checkpoints", 2)
    assert {manifest.generation for manifest in ring.all()} == {1}
    assert not ring.promote(step=3, generation=0)
    assert ring.promote(step=3, generation=1)
    assert not ring.promote(step=99, generation=1)


def test_leftovers_of_a_crash_are_cleaned(run_dir: Path) -> None:
    """A half-written one goes; one that was being replaced comes back."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        run.train(guard, 4, settled=True)
    checkpoints = run_dir / "checkpoints"
    (checkpoints / "step-00000006.tmp").mkdir()
    shutil.copytree(checkpoints / "step-00000004", checkpoints / "step-00000004.old")
    (checkpoints / "step-00000002").rename(checkpoints / "step-00000002.old")
    Guard(run.model, run.optimizer, run_dir=run_dir).close()
    assert sorted(path.name for path in checkpoints.iterdir()) == [f"step-0000000{step}" for step in (0, 2, 4)]


def test_manifest_and_state_are_readable_by_anybody(run_dir: Path) -> None:
    """torch.load(weights_only=True), and JSON with sizes and checksums."""
    run = Run(lambda parameters: torch.optim.AdamW(parameters, lr=0.01))
    schedule = schedulers.SequentialLR(
        run.optimizer,
        [schedulers.LambdaLR(run.optimizer, lambda step: 1.0), schedulers.MultiStepLR(run.optimizer, [3, 5])],
        [2],
    )
    with Guard(run.model, run.optimizer, scheduler=schedule, run_dir=run_dir, checkpoint_every=2) as guard:
        run.train(guard, 2, scheduler=schedule)
        expected = guard.state_dict()
    place = run_dir / "checkpoints" / "step-00000002"
    state = torch.load(place / "state.pt", weights_only=True)
    assert_same(state["model"], run.model.state_dict())
    assert set(state) == {"model", "optimizers", "schedulers", "scaler", "state", "loader", "rng", "guard"}
    assert state["guard"] == expected
    assert state["schedulers"][0]["_milestones"] == [2]
    manifest = json.loads((place / "manifest.json").read_text())
    assert (manifest["step"], manifest["generation"], manifest["status"]) == (2, 0, "candidate")
    assert manifest["files"]["state.pt"]["bytes"] == (place / "state.pt").stat().st_size
    assert guard.errors == {}


def test_state_that_cannot_be_stored(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """A scheduler's is left out; an optimizer's keeps the checkpoint from being made. Both are said."""
    run = Run()

    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"function": print}

    with Guard(run.model, run.optimizer, scheduler=Odd(), run_dir=run_dir, checkpoint_every=2) as guard:
        assert guard.errors == {"checkpoint.scheduler": 1}
        run.optimizer.param_groups[0]["odd"] = object()
        run.train(guard, 2, settled=True)
    assert statuses(run_dir) == {0: "candidate"}
    assert "scheduler['function'] holds a builtins.builtin_function_or_method" in said.messages[0]
    assert "optimizer['param_groups'][0]['odd'] holds a builtins.object" in said.messages[1]


def test_errors_of_the_ring_name_the_file(run_dir: Path) -> None:
    """Damage says which file."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir):
        pass
    ring = DiskRing(run_dir / "checkpoints", 3)
    (manifest,) = ring.all()
    (run_dir / "checkpoints" / "step-00000000" / "state.pt").write_bytes(b"other")
    with pytest.raises(Damaged, match=r"step-00000000/state.pt is not the file that was saved"):
        ring.load(manifest)


def test_a_state_too_large_for_memory_is_written_while_the_step_waits(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on disk when the step ends, and comes back from there; said once."""
    monkeypatch.setattr("trainguard.checkpoints.checkpointer.memory_limit", lambda: 10_000)
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        run.train(guard, 2)
        assert statuses(run_dir) == {0: "candidate", 2: "candidate"}
        weights = weights_of(run.model)
        monitor.promote(2)
        run.train(guard)
        monitor.ask(("restore_checkpoint", {}))
        run.train(guard)
        assert_same(run.model.state_dict(), weights)
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 2)
    assert guard.errors == {"checkpoint.memory": 3}
    assert "is too large to be kept in memory: the step waits for the disk" in said.messages[0]
    assert len(said.messages) == 1
