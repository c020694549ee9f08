"""What did not help is taken back, to the digit, whatever a schedule did in between."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.support import Monitor, Run
from trainguard import Guard, Knob
from trainguard_wire import RunDirectory

RULES = """\
settle: 0 steps
groups:
  - name: test
    rules:
      - guard: Drill
        expr: step == 10
        actions: [ACTION]
        verify: {expr: loss < 0, within: 5 steps, otherwise: revert}
"""


def one_cycle(run: Run) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(run.optimizer, max_lr=0.1, total_steps=60)


def decayed(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.02)


@pytest.mark.parametrize(
    ("action", "signal", "during", "after"),
    [
        ("{scale_lr: {factor: 0.3}}", "lr_scale", 0.3, 1.0),
        ("{set_lr: {lr: 0.004}}", "lr_scale", None, 1.0),
        ("{scale_weight_decay: {factor: 3, max: 0.05}}", "weight_decay", 0.05, 0.02),
        ("{set_weight_decay: {weight_decay: 0}}", "weight_decay", 0.0, 0.02),
        ("{set_knob: {name: dropout, value: 0.5}}", "knob_dropout", 0.5, 0.2),
        ("{scale_knob: {name: dropout, factor: 0.25}}", "knob_dropout", 0.1, 0.2),
    ],
)
def test_a_change_is_taken_back(action: str, signal: str, during: float | None, after: float, tmp_path: Path) -> None:
    """By the monitor's own second intervention, on a run in a schedule that moves in each step."""
    (tmp_path / "rules.yaml").write_text(RULES.replace("ACTION", action))
    run = Run(decayed)
    schedule = one_cycle(run)
    options: dict[str, Any] = {"monitor": "embedded", "rules": tmp_path / "rules.yaml", "checkpoint_every": None}
    options["knobs"] = {"dropout": Knob.dropout(run.model, min=0.1)}
    options["every"] = {"weight_decay": 1}
    with Guard(run.model, run.optimizer, run_dir=tmp_path / "run", **options) as guard:
        run.train(guard, 30, scheduler=schedule)
        assert guard.errors == {}
    monitor = Monitor(tmp_path / "run")
    assert [(ack.status, ack.step) for ack in monitor.acks()] == [("applied", 11), ("applied", 17)]
    assert RunDirectory(tmp_path / "run").read_control().read()[1].id == "Drill.0.16.revert"  # type: ignore[union-attr]
    values = monitor.series(signal)
    assert values[:10] == [after] * 10
    assert values[16:] == pytest.approx([after] * 14, rel=1e-12)
    if during is not None:
        assert values[10:16] == pytest.approx([during] * 6)
    else:
        assert monitor.series("lr")[10] == 0.004
