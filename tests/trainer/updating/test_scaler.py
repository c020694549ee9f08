"""Under a gradient scaler: the scaler's own arithmetic, and signals of unscaled gradients."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adamw fused": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
}
OVERFLOWS = {3, 7}
MAX_NORM = 0.5


def scaler() -> GradScaler:
    return GradScaler("cpu", init_scale=1024.0, growth_interval=4)


def backward(run: Run, scaling: GradScaler, step: int) -> tuple[Any, Any, Any]:
    """As `Run.backward`, of the scaled loss; some steps overflow."""
    x, y = next(run.data)
    run.optimizer.zero_grad()
    logits = run.model(x)
    loss = nn.functional.cross_entropy(logits, y)
    scaling.scale(loss).backward()
    if step in OVERFLOWS:
        run.model.layers[0].weight.grad[0, 0] = math.inf
    return loss, logits, y


@pytest.mark.parametrize("clips", ["guard", "loop", "nobody"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_and_scale_are_those_of_the_plain_loop(
    optimizer: str, clips: str, run_dir: Path, monitor: Monitor
) -> None:
    """Whoever clips and unscales; updates that overflow are skipped by the scaler, and the scale follows."""
    plain, scaling = Run(OPTIMIZERS[optimizer]), scaler()
    norms = []
    for step in range(1, 13):
        backward(plain, scaling, step)
        scaling.unscale_(plain.optimizer)
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in plain.model.parameters()])))
        if clips != "nobody":
            torch.nn.utils.clip_grad_norm_(plain.model.parameters(), MAX_NORM)
        scaling.step(plain.optimizer)
        scaling.update()

    run, ours = Run(OPTIMIZERS[optimizer]), scaler()
    with Guard(run.model, run.optimizer, scaler=ours, run_dir=run_dir, checkpoint_every=None) as guard:
        for step in range(1, 13):
            loss, logits, y = backward(run, ours, step)
            if clips == "guard":
                guard.clip_(MAX_NORM)
            elif clips == "loop":
                ours.unscale_(run.optimizer)
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), MAX_NORM)
            guard.step(loss, logits=logits, targets=y)
    assert guard.errors == {}
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert ours.state_dict() == scaling.state_dict()
    assert ours.get_scale() != 1024.0
    if clips != "loop":
        assert monitor.series("grad_norm") == pytest.approx(norms)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_gate_drops_what_the_scaler_would_make(optimizer: str, run_dir: Path) -> None:
    """An update that is too large, though finite, is dropped; the scale does not suffer."""
    run, ours = Run(OPTIMIZERS[optimizer]), scaler()
    with Guard(run.model, run.optimizer, scaler=ours, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.gate.configure(max_norm=1e-6)
        before = {name: value.clone() for name, value in run.model.named_parameters()}
        for _ in range(4):
            loss, *_ = backward(run, ours, 1)
            guard.step(loss)
    assert_same(before, dict(run.model.named_parameters()))
    assert not run.optimizer.state_dict()["state"]
    assert ours.get_scale() == 2048.0


@pytest.mark.usefixtures("on_a_device")
def test_the_gate_adds_its_verdict_to_the_scalers(run_dir: Path) -> None:
    """A fused optimizer on a device is told of both: what overflows, and what is too large."""
    make = OPTIMIZERS["adamw fused"]
    run, ours = Run(make), scaler()
    with Guard(run.model, run.optimizer, scaler=ours, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.gate.configure(max_norm=100.0)
        for step in range(1, 13):
            loss, *_ = backward(run, ours, step)
            if step % 4 == 0:
                run.model.layers[0].weight.grad.mul_(1e5)
            guard.step(loss)
    plain, theirs = Run(make), scaler()
    for step in range(1, 13):
        backward(plain, theirs, step)
        theirs.unscale_(plain.optimizer)
        if step % 4:
            theirs.step(plain.optimizer)
        theirs.update()
    assert guard.errors == {}
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert theirs.state_dict() == ours.state_dict()


def test_a_scaler_that_is_switched_off(run_dir: Path, monitor: Monitor) -> None:
    """``enabled=False`` is how loops leave it out."""
    run = Run()
    off = GradScaler("cpu", enabled=False)
    with Guard(run.model, run.optimizer, scaler=off, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 3)
    plain = Run()
    for _ in range(3):
        plain.backward()
        plain.optimizer.step()
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert guard.errors == {}
