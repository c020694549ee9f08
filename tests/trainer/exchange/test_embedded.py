"""The embedded monitor: the daemon's engine, journal and control, in the training thread."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.records import everything
from tests.trainer.embedded import RULES, derived, embedded, fold, journal_of, openings, train, trained_plainly
from tests.trainer.support import Monitor, Run, assert_same, disk_full_beyond
from trainguard import Guard
from trainguard_rules import Engine, RuleFileError
from trainguard_wire import (
    Ack,
    Decision,
    Goodbye,
    Hello,
    Lease,
    LeaseHeld,
    Outcome,
    RunDirectory,
    Sample,
    Transition,
    encode,
)

OTHER_RULES = RULES.replace("grad_norm > 100", "grad_norm > 1000")


def test_judges_and_acts_in_the_step_itself(run_dir: Path, monitor: Monitor, rules: Path) -> None:
    """Fault at step 30; carried out in 30, seen in 31; journal and control as from a daemon."""
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 40, bad=[30])
        assert guard.errors.keys() <= {"checkpoint.skipped"}
    restore, scale = monitor.acks()
    assert (restore.step, restore.status, restore.checkpoint, restore.generation) == (30, "applied", 20, 1)
    assert (scale.step, scale.status, scale.before, scale.after) == (31, "applied", 0.1, 0.05)
    assert [message.id for message in everything(monitor.directory.read_control())] == [
        *("promotion.0.0", "promotion.0.10", "promotion.0.20", "Explosion.0.30")
    ]
    (opened,) = openings(run_dir)
    assert (opened.from_record, opened.pid, opened.rules) == (0, os.getpid(), str(rules))
    assert derived(run_dir) == fold(monitor, rules)
    info = monitor.directory.read_info()
    assert (info.monitor, info.lockstep) == ("embedded", False)


def test_two_runs_are_one(tmp_path: Path, rules: Path) -> None:
    """Interventions included: the same journal but for the times, and the same weights, bit for bit."""
    results = []
    for name in ("a", "b"):
        run = Run()
        with embedded(run, tmp_path / name, rules) as guard:
            train(run, guard, 60, bad=[30, 31, 44])
        lines = [json.loads(encode(record)) | {"time": 0} for record in derived(tmp_path / name)]
        results.append((lines, run.model.state_dict()))
    assert results[0][0] == results[1][0]
    assert sum(line["type"] == "decision" and line["verdict"] == "act" for line in results[0][0]) == 2
    assert_same(results[0][1], results[1][1])


def test_a_run_without_a_fault_is_the_plain_run(run_dir: Path) -> None:
    """With `stability`, which is the default."""
    plain, run = trained_plainly(150), Run()
    with embedded(run, run_dir, None) as guard:
        train(run, guard, 150)
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert [record for record in derived(run_dir) if isinstance(record, Decision)] == []
    assert openings(run_dir)[0].rules == "stability"


def test_in_mode_observe_the_run_is_the_plain_run(run_dir: Path, rules: Path) -> None:
    """Bit for bit, faults and all; the journal has what would have been done, and the mode."""
    plain = Run()
    with Guard(plain.model, plain.optimizer, run_dir=run_dir.with_name("alone"), checkpoint_every=10) as guard:
        train(plain, guard, 40, bad=[30])
    run = Run()
    with embedded(run, run_dir, rules, mode="observe") as guard:
        train(run, guard, 40, bad=[30])
        assert guard.errors == {}
    assert_same(plain.model.state_dict(), run.model.state_dict())
    [decision] = [record for record in derived(run_dir) if isinstance(record, Decision)]
    assert (decision.step, decision.verdict, len(decision.actions)) == (30, "observe", 2)
    assert [(opened.rules, opened.mode) for opened in openings(run_dir)] == [(str(rules), "observe")]
    with pytest.raises(ValueError, match="mode is 'watch', wanted 'act' or 'approve' or 'observe'"):
        Guard(run.model, run.optimizer, run_dir=run_dir, monitor="embedded", mode="watch")  # type: ignore[arg-type]


def test_the_run_has_its_monitor_while_the_guard_is_open(run_dir: Path, rules: Path) -> None:
    """Nobody else can drive it until then."""
    run, lock = Run(), RunDirectory(run_dir).monitor_lock
    with embedded(run, run_dir, rules), pytest.raises(LeaseHeld, match="already has a monitor"):
        Lease.take(lock)
    Lease.take(lock).release()


def test_a_second_process_goes_on_with_the_chain(run_dir: Path, monitor: Monitor, rules: Path) -> None:
    """What the first could not write any more is completed; then both make one fold."""
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 40, bad=[30])
    segment = run_dir / "journal" / "000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])  # as after kill -9
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 40, bad=[30])
        assert guard.errors.keys() <= {"checkpoint.skipped"}
    assert derived(run_dir) == fold(monitor, rules)
    assert [opened.from_record for opened in openings(run_dir)] == [0, 0]
    assert [record.generation for record in monitor.records() if isinstance(record, Hello)] == [0, 2]
    applied = [ack for ack in monitor.acks() if ack.status == "applied"]
    assert [ack.action for ack in applied] == [
        *("Explosion.0.30.0", "Explosion.0.30.1", "Explosion.2.30.0", "Explosion.2.30.1")
    ]


def test_other_rules_begin_another_chain(run_dir: Path, monitor: Monitor, rules: Path, tmp_path: Path) -> None:
    """At the hello of the process that brought them."""
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 12)
    others = tmp_path / "others.yaml"
    others.write_text(OTHER_RULES)
    before = len(monitor.records())
    with embedded(run, run_dir, others) as guard:
        train(run, guard, 12)
    assert [opened.from_record for opened in openings(run_dir)] == [0, before + 1]
    assert sum(isinstance(record, Transition) for record in derived(run_dir)) == 4


def test_a_journal_that_does_not_follow_begins_anew(run_dir: Path, rules: Path, said: pytest.LogCaptureFixture) -> None:
    """Telemetry was lost: the old chain is left as it is, and it is said."""
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 12)
    segment = run_dir / "telemetry" / "000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:6], *lines[9:]]))
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 1)
        assert guard.errors == {"monitor": 1}
    assert "begins anew" in said.messages[0]
    assert len({opened.from_record for opened in openings(run_dir)}) == 2


def test_a_directory_that_cannot_be_used_is_judged_off_the_record(
    tmp_path: Path, rules: Path, said: pytest.LogCaptureFixture
) -> None:
    """What needs no directory is done; a rule that wants a checkpoint holds, for there is none."""
    (tmp_path / "run").write_text("")
    rules.write_text(RULES.replace("- restore_checkpoint: {which: last_good}\n", ""))
    run = Run()
    with embedded(run, tmp_path / "run", rules) as guard:
        train(run, guard, 10, bad=[5])
        assert guard.state_dict()["lr"]["scale"] == 0.5
    assert guard.errors == {"run_directory": 1}
    assert len(said.messages) == 1
    assert guard.lost == 13  # hello, samples, ack, goodbye


def test_another_trainers_directory_is_left_alone(run_dir: Path, rules: Path) -> None:
    """Judged, and not one byte of it written."""
    directory, run = RunDirectory(run_dir), Run()
    directory.create()
    with Lease.take(directory.trainer_lock), embedded(run, run_dir, rules) as guard:
        train(run, guard, 40, bad=[30])
        assert guard.errors == {"run_directory": 1}
    assert [path for path in run_dir.rglob("*") if path.is_file()] == [directory.trainer_lock]


def test_a_run_that_has_a_monitor_obeys_that_one(
    run_dir: Path, monitor: Monitor, rules: Path, said: pytest.LogCaptureFixture
) -> None:
    """One run, one judge. Our own rules are not asked, which is said."""
    monitor.directory.create()
    run = Run()
    with Lease.take(monitor.directory.monitor_lock), embedded(run, run_dir, rules) as guard:
        train(run, guard, 1)
        monitor.ask(("scale_lr", {"factor": 0.25}))
        train(run, guard, 10, bad=[5])
        assert guard.errors == {"monitor": 1}
    assert [ack.after for ack in monitor.acks()] == [0.025]
    assert "already has a monitor" in said.messages[0]
    assert journal_of(run_dir) == []
    assert monitor.directory.read_info().monitor == "process"


def test_a_full_disk_does_not_keep_it_from_acting(run_dir: Path, rules: Path, said: pytest.LogCaptureFixture) -> None:
    """What could not be written down at once is written when there is room again, journal and control."""
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 29)
        with disk_full_beyond(200):
            train(run, guard, 3, bad=[30])
            assert guard.state_dict()["lr"]["scale"] == 0.5
        train(run, guard, 2)
    assert {"telemetry", "journal"} <= set(guard.errors) <= {"telemetry", "checkpoint", "journal"}
    assert len(said.messages) == len(guard.errors)
    assert [record.verdict for record in derived(run_dir) if isinstance(record, Decision)] == ["act"]
    assert [record.status for record in derived(run_dir) if isinstance(record, Outcome)] == ["applied", "applied"]
    reader = RunDirectory(run_dir).read_control()
    assert "Explosion.0.30" in [message.id for message in reader.read()]
    reader.close()


def test_a_monitor_that_raises_leaves_the_training_alone(
    run_dir: Path, monitor: Monitor, rules: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unguarded from there on, said once; the weights are those of the plain loop, and telemetry is whole."""
    feed = Engine.feed

    def defect(engine: Engine, record: Any) -> Any:
        if isinstance(record, Sample) and record.step == 5:
            raise ZeroDivisionError("a defect")
        return feed(engine, record)

    monkeypatch.setattr(Engine, "feed", defect)
    plain, run = trained_plainly(10), Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 10)
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert guard.errors == {"monitor": 1}
    assert [message for message in said.messages if "a defect" in message] == said.messages
    assert len(said.messages) == 1
    assert len(monitor.samples()) == 10
    assert isinstance(monitor.records()[-1], Goodbye)


def test_a_past_that_cannot_be_read_is_passed_over(
    run_dir: Path, monitor: Monitor, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it judges from the hello on, off the record, and lets the run's other files be."""
    monkeypatch.setattr("trainguard.exchange.embedded.Hold.take", _no_hold)
    run = Run()
    with embedded(run, run_dir, rules) as guard:
        train(run, guard, 40, bad=[30])
        assert guard.errors == {"monitor": 1}
    assert [ack.status for ack in monitor.acks()] == ["applied", "applied"]
    assert journal_of(run_dir) == []


def _no_hold(run: RunDirectory) -> Any:
    raise PermissionError(13, "Permission denied", str(run.monitor_lock))


@pytest.mark.parametrize("rules", ["no_such_pack", "bad.yaml"])
def test_wrong_rules_are_an_error_before_training(rules: str, run_dir: Path, tmp_path: Path) -> None:
    """Every problem is named, and nothing has been made."""
    (tmp_path / "bad.yaml").write_text(RULES.replace("grad_norm", "grad_nrom"))
    run = Run()
    source = rules if rules == "no_such_pack" else tmp_path / rules
    with pytest.raises(RuleFileError, match=r"no such file|grad_norm"):
        Guard(run.model, run.optimizer, run_dir=run_dir, monitor="embedded", rules=source)
    assert not run_dir.exists()


def test_lockstep_is_for_a_monitor_process(run_dir: Path) -> None:
    """An embedded one is never waited for."""
    run = Run()
    with pytest.raises(ValueError, match="lockstep is 1, wanted None"):
        Guard(run.model, run.optimizer, run_dir=run_dir, monitor="embedded", lockstep=1)


def test_what_is_observed_is_judged_with_the_next_step(run_dir: Path, monitor: Monitor, tmp_path: Path) -> None:
    """A rule on the user's own signal, between two steps."""
    rules = tmp_path / "own.yaml"
    rules.write_text(
        "signals: [val_loss]\ngroups:\n  - name: own\n    rules:\n"
        "      - guard: Worse\n        expr: val_loss > 3\n        actions: [{stop: {}}]\n"
    )
    run = Run()
    with embedded(run, run_dir, [rules, "stability"]) as guard:
        train(run, guard, 3)
        guard.observe(val_loss=torch.tensor(4.0))
        assert not guard.stopped
        train(run, guard, 1)
        assert guard.stopped
    assert [(ack.kind, ack.step) for ack in monitor.records() if isinstance(ack, Ack)] == [("stop", 4)]
