"""Interventions: carried out once, in order, in their generation, in time; and always acknowledged."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard_wire import Action, Intervention, RunDirectory

HALVE = ("scale_lr", {"factor": 0.5})


def outcomes(monitor: Monitor) -> list[tuple[str, str, int]]:
    return [(ack.action, ack.status, ack.step) for ack in monitor.acks()]


def test_an_intervention_past_its_step_has_expired(run_dir: Path, monitor: Monitor) -> None:
    """The last step it holds for is its expires_step."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 2)
        monitor.ask(HALVE, expires_step=3)
        monitor.ask(HALVE, HALVE, expires_step=2)
        run.train(guard, 2)
    assert outcomes(monitor) == [("i2.0", "expired", 3), ("i2.1", "expired", 3), ("i1.0", "applied", 4)]
    assert monitor.acks()[0].reason == "step 3 is past step 2"


def test_another_generation_is_refused(run_dir: Path, monitor: Monitor) -> None:
    """What was decided on older data does harm now."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.promote(0)
        monitor.ask(("restore_checkpoint", {}))
        monitor.ask(HALVE)
        run.train(guard)
    assert outcomes(monitor) == [("i1.0", "applied", 1), ("i2.0", "refused", 1)]
    assert monitor.last_ack().reason == "decided in generation 0, this is generation 1"


def test_an_intervention_seen_before_is_ignored(run_dir: Path, monitor: Monitor) -> None:
    """A monitor that restarted may say it twice."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
        for _ in range(2):
            monitor.ask(HALVE, id="same")
            run.train(guard, 2)
    assert outcomes(monitor) == [("same.0", "applied", 3)]
    assert monitor.series("lr_scale")[-1] == 0.5


def test_after_an_action_that_fails_the_rest_is_refused(run_dir: Path, monitor: Monitor) -> None:
    """Unknown kinds, bad parameters: the plan ends there, what came before holds."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(HALVE, ("dance", {}), HALVE)
        monitor.ask(("restore_checkpoint", {}), HALVE)
        run.train(guard, 2)
    assert outcomes(monitor) == [
        *(("i1.1", "refused", 1), ("i1.2", "refused", 1), ("i2.0", "refused", 1), ("i2.1", "refused", 1)),
        ("i1.0", "applied", 2),
    ]
    unknown, rest, not_offered, _, _ = monitor.acks()
    assert unknown.reason == (f"this trainer does not offer 'dance'; it offers {', '.join(monitor.hello().actions)}")
    assert rest.reason == "an earlier action of this intervention failed"
    assert "does not offer 'restore_checkpoint'" in not_offered.reason


def test_an_action_that_raises_has_failed(run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture) -> None:
    """The exception is in the ack, in the count and said once; the loop never sees it."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        run.optimizer.param_groups[0]["odd"] = object()
        monitor.ask(("save_checkpoint", {}), HALVE)
        run.train(guard)
    failed, rest = monitor.acks()
    assert failed.status == "failed"
    assert "optimizer['param_groups'][0]['odd'] holds a builtins.object" in failed.reason
    assert rest.status == "refused"
    assert guard.errors == {"action.save_checkpoint": 1}
    assert len(said.messages) == 1


def test_lines_that_are_no_control_are_skipped(run_dir: Path, monitor: Monitor) -> None:
    """A torn or foreign line does not hide the next one."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
        (run_dir / "control" / "000001.jsonl").write_bytes(b'{"type": "intervention", "id"\n\xff\xfe\n')
        monitor.ask(HALVE)
        run.train(guard)
        assert monitor.acks() == []
        with (run_dir / "control" / "000001.jsonl").open("ab") as file:
            file.write(b"torn")
        run.train(guard)
    assert monitor.series("lr_scale")[-1] == 0.5


def test_what_was_meant_for_an_earlier_process_is_passed_over(run_dir: Path, monitor: Monitor) -> None:
    """Control written before this process began is never applied, whatever generation it names."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
    stale = Intervention(
        id="stale",
        rule="Test",
        step=1,
        generation=1,
        expires_step=99,
        actions=(Action(id="stale.0", kind="stop"),),
    )
    monitor.send(stale)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 2)
        assert not guard.stopped
        monitor.ask(HALVE)
        run.train(guard, 2)
    assert outcomes(monitor) == [("i1.0", "applied", 4)]


def test_diagnose_measures_in_the_next_step(run_dir: Path, monitor: Monitor) -> None:
    """The probe's values are in that step's sample and no other; the ack carries the entropy."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
        monitor.ask(("diagnose", {"probe": "collapse"}))
        run.train(guard, 3)
    probed = [sample.step for sample in monitor.samples() if {"prediction_entropy", "dead_units"} <= set(sample.values)]
    assert probed == [3]
    ack = monitor.last_ack()
    assert (ack.status, ack.step) == ("applied", 3)
    assert ack.after == monitor.series("prediction_entropy")[0]
    assert not run.model.layers[2]._forward_hooks


def test_diagnose_where_nothing_can_be_measured(run_dir: Path, monitor: Monitor) -> None:
    """No logits, no activation modules and no features: refused at once. Logits that stop coming: failed."""
    model = nn.Conv1d(2, 2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Guard(model, optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("diagnose", {}))
        guard.step(1.0)
        monitor.ask(("diagnose", {"probe": "aura"}))
        guard.step(1.0, logits=torch.eye(2))
        monitor.ask(("diagnose", {}))
        guard.step(1.0, logits=torch.eye(2))
        guard.step(1.0)
        monitor.ask(("diagnose", {}))
        guard.step(1.0, logits=torch.eye(2))
        guard.step(1.0, logits=torch.full((2, 2), float("nan")))
    assert [ack.status for ack in monitor.acks()] == ["refused", "refused", "failed", "applied"]
    assert monitor.acks()[1].reason == "probe is 'aura', wanted 'collapse'"
    assert monitor.acks()[2].reason == "the step gave nothing to measure: no logits, and no watched module ran"
    assert monitor.last_ack().after is None
    assert guard.errors == {}


def test_stop_saves_and_ends_the_loop(run_dir: Path, monitor: Monitor) -> None:
    """In that order, at once, and the goodbye says stopped."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.ask(("stop", {}))
        for _ in range(9):
            run.train(guard)
            if guard.stopped:
                break
    names = [type(record).__name__ for record in monitor.records()]
    assert names == ["Hello", "CheckpointSaved", "Sample", "CheckpointSaved", "Ack", "Goodbye"]
    assert monitor.records()[-1].outcome == "stopped"  # type: ignore[union-attr]
    assert (run_dir / "checkpoints" / "step-00000001").is_dir()


def test_stop_stops_even_where_nothing_can_be_saved(run_dir: Path, monitor: Monitor) -> None:
    """A full disk must not keep a run from stopping."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        (run_dir / "checkpoints" / "step-00000001.tmp").write_text("in the way")
        monitor.ask(("stop", {}))
        run.train(guard)
        assert guard.stopped
    assert monitor.last_ack().status == "applied"
    assert "stopped without a checkpoint: FileExistsError" in monitor.last_ack().reason


def test_save_checkpoint_saves_once(run_dir: Path, monitor: Monitor) -> None:
    """A step that is saved already is not saved again."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        monitor.ask(("save_checkpoint", {}))
        run.train(guard)
        monitor.ask(("save_checkpoint", {}))
        run.train(guard)
    assert [(ack.status, ack.step) for ack in monitor.acks()] == [("applied", 1), ("applied", 2)]
    saved = [record.step for record in monitor.records() if type(record).__name__ == "CheckpointSaved"]
    assert saved == [0, 1, 2]
    assert RunDirectory(run_dir).read_info().actions == monitor.hello().actions
