"""Checkpoints of a run that goes on from one of the loop's own."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard
from trainguard_wire import CheckpointSaved

RESTORE = ("restore_checkpoint", {"which": "last_good", "before_step": 100})


@pytest.mark.parametrize("step", [0, 6])
def test_what_was_saved_before_the_loop_loaded_its_own_is_no_way_back(
    step: int, run_dir: Path, monitor: Monitor
) -> None:
    """A loop may load its checkpoint after the guard has begun: the weights of before never become good."""
    run, loaded = Run(), Run()
    loaded.train(Guard(loaded.model, loaded.optimizer, run_dir=run_dir.parent / "earlier", checkpoint_every=None), 6)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=50) as guard:
        run.model.load_state_dict(loaded.model.state_dict())
        guard.load_state_dict({**guard.state_dict(), "step": step})
        monitor.promote(0)
        run.train(guard, 2, settled=True)
        if step:
            monitor.ask(RESTORE)
            run.train(guard)
            assert monitor.last_ack().status == "refused"
            monitor.promote(step)
            run.train(guard, settled=True)
        monitor.ask(RESTORE)
        run.train(guard)
        assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", step)
        assert_same(dict(run.model.named_parameters()), dict(loaded.model.named_parameters()))
        assert guard.errors == {}
    assert [r.step for r in monitor.records() if isinstance(r, CheckpointSaved)] == [step], "or it would be promoted"


def test_a_run_without_a_step_tells_what_it_saved(run_dir: Path, monitor: Monitor) -> None:
    """Nothing is told of it while the loop may yet load another state; at the end it can't any more."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=50):
        assert [type(record).__name__ for record in monitor.records()] == ["Hello"]
    assert [type(record).__name__ for record in monitor.records()] == ["Hello", "CheckpointSaved", "Goodbye"]


def test_the_lines_of_the_page_go_on_from_a_checkpoint(run_dir: Path, monitor: Monitor) -> None:
    """Bit for bit, with what an action had changed before."""
    page = (Path(__file__).parents[3] / "docs/checkpoints.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(saved = torch.load.*?)```", page, re.DOTALL)
    lines = lines.replace("runs/a/checkpoints/step-00000500", str(run_dir / "checkpoints/step-00000003"))

    def made() -> tuple[Run, Any]:
        run = Run(lambda parameters: torch.optim.AdamW(parameters, lr=0.01))
        return run, OneCycleLR(run.optimizer, max_lr=0.05, total_steps=20)

    whole, schedule = made()
    with Guard(whole.model, whole.optimizer, scheduler=schedule, run_dir=run_dir, checkpoint_every=3, keep=9) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        whole.train(guard, 8, scheduler=schedule)
    resumed, schedule = made()
    other = run_dir.parent / "resumed"
    guard = Guard(resumed.model, resumed.optimizer, scheduler=schedule, run_dir=other)
    names = {"model": resumed.model, "optimizer": resumed.optimizer, "scheduler": schedule}
    exec(lines, {"torch": torch, "guard": guard, **names})
    for _ in range(3):
        next(resumed.data)
    with guard:
        resumed.train(guard, 5, scheduler=schedule)
        assert (guard.num_steps, guard.last["lr_scale"]) == (8, 0.5)
    assert_same(resumed.model.state_dict(), whole.model.state_dict())
