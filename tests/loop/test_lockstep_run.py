"""Exact reproduction: judged in the training thread or by a monitor process in lockstep, a run is the same run."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.loop.support import Training, monitor
from tests.trainer.embedded import derived, train
from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard_wire import encode

STEPS = 240
BAD = {80, 81, 82, 130, 190, 191}
RULES = """\
checkpoints: {good_after: 10 steps}
groups:
  - name: test
    rules:
      - guard: Explosion
        expr: grad_norm > 20 * median(grad_norm, 30)
        actions:
          - restore_checkpoint: {which: last_good}
          - scale_lr: {factor: 0.5, recover_over: 40}
        cooldown: 5 steps
        verify: {expr: "grad_norm < 10 * median(grad_norm, 30)", within: 10 steps, otherwise: revert}
      - guard: Noisy
        expr: loss > mean(loss, 20) + 1.5 * std(loss, 20)
        for: 1 step
        actions: [{scale_lr: {factor: 0.9, min: 0.001}}]
        cooldown: 20 steps
        limit: 4 per 100 steps
"""


def trained(run_dir: Path, **how: Any) -> tuple[str, list[dict[str, Any]]]:
    """A run with faults: the digest of its weights, and its journal without the times."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=15, **how) as guard:
        train(run, guard, STEPS, BAD)
        assert guard.errors == {}
    digest = hashlib.sha256()
    for tensor in run.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest(), [json.loads(encode(record)) | {"time": None} for record in derived(run_dir)]


def test_embedded_and_lockstep_are_the_same_run_each_time(tmp_path: Path, rules: Path) -> None:
    """Twice each: one digest of the weights, one journal; and the runs were acted upon."""
    runs = tmp_path / "runs"
    with monitor(runs, str(rules)):
        results = [trained(runs / name, lockstep=60.0) for name in ("a", "b")]
        results += [trained(runs / name, monitor="embedded", rules=rules) for name in ("c", "d")]
    assert [result == results[0] for result in results] == [True] * 4
    statuses = [line["kind"] for line in results[0][1] if line["type"] == "outcome" and line["status"] == "applied"]
    assert statuses.count("restore_checkpoint") >= 2
    assert statuses.count("scale_lr") >= 4
    assert len(Monitor(runs / "a").samples()) == STEPS


def test_the_demo_is_saved_by_its_own_monitor_as_by_another(tmp_path: Path) -> None:
    """Digits with both faults under `stability`, embedded and in lockstep: saved, and the same weights."""
    runs = tmp_path / "runs"
    how = {"embedded": ("--monitor", "embedded"), "lockstep": ("--lockstep", "60")}
    with monitor(runs):
        trainings = [
            Training(tmp_path / f"{name}.json", "--faults", "--epochs", "18", "--run-dir", str(runs / name), *options)
            for name, options in how.items()
        ]
        ends = [training.finish() for training in trainings]
    assert ends[0]["accuracy"] > 0.95
    assert ends[0]["weights_sha256"] == ends[1]["weights_sha256"]
    restored = [ack.checkpoint for ack in Monitor(runs / "embedded").acks() if ack.kind == "restore_checkpoint"]
    assert len(restored) >= 2
