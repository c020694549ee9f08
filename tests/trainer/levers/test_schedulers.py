"""A change of the learning rate holds over every scheduler there is, and none of them notices."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import SWALR

from tests.support.tools import need_module
from tests.trainer.support import Monitor
from trainguard import Guard

STEPS, CHANGED_AT = 60, 40
WARMUP = 10


def hf(name: str, warmup: int = WARMUP, **settings: Any) -> Callable[[Any], Any]:
    """A schedule of Transformers, by the name that its trainer knows it by."""

    def make(optimizer: Any) -> Any:
        transformers = need_module("transformers")
        return transformers.get_scheduler(name, optimizer, warmup, 2 * STEPS, scheduler_specific_kwargs=settings)

    return make


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda optimizer: schedulers.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step)),
    "MultiplicativeLR": lambda optimizer: schedulers.MultiplicativeLR(optimizer, lambda step: 0.97),
    "StepLR": lambda optimizer: schedulers.StepLR(optimizer, 7, gamma=0.7),
    "MultiStepLR": lambda optimizer: schedulers.MultiStepLR(optimizer, [20, 45, 50], gamma=0.3),
    "ConstantLR": lambda optimizer: schedulers.ConstantLR(optimizer, factor=0.4, total_iters=47),
    "LinearLR": lambda optimizer: schedulers.LinearLR(optimizer, 0.1, total_iters=50),
    "ExponentialLR": lambda optimizer: schedulers.ExponentialLR(optimizer, 0.95),
    "PolynomialLR": lambda optimizer: schedulers.PolynomialLR(optimizer, total_iters=80, power=2.0),
    "CosineAnnealingLR": lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 80),
    "CosineAnnealingLR eta_min": lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 70, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda optimizer: schedulers.CosineAnnealingWarmRestarts(optimizer, 9),
    "CyclicLR": lambda optimizer: schedulers.CyclicLR(optimizer, base_lr=0.01, max_lr=0.2, step_size_up=8),
    "OneCycleLR": lambda optimizer: schedulers.OneCycleLR(optimizer, max_lr=0.5, total_steps=70),
    "ReduceLROnPlateau": lambda optimizer: schedulers.ReduceLROnPlateau(optimizer, factor=0.6, patience=4),
    "SequentialLR": lambda optimizer: schedulers.SequentialLR(
        optimizer,
        [schedulers.LinearLR(optimizer, 0.1, total_iters=45), schedulers.CosineAnnealingLR(optimizer, 40)],
        milestones=[45],
    ),
    "ChainedScheduler": lambda optimizer: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(optimizer, factor=0.5, total_iters=44), schedulers.ExponentialLR(optimizer, 0.95)]
    ),
    "SWALR": lambda optimizer: SWALR(optimizer, swa_lr=0.02, anneal_epochs=50),
    "HF linear": hf("linear"),
    "HF cosine": hf("cosine"),
    "HF cosine_with_restarts": hf("cosine_with_restarts", num_cycles=3),
    "HF polynomial": hf("polynomial", power=2.0),
    "HF constant": hf("constant"),
    "HF constant_with_warmup": hf("constant_with_warmup", warmup=45),
    "HF inverse_sqrt": hf("inverse_sqrt"),
    "HF reduce_lr_on_plateau": hf("reduce_lr_on_plateau", factor=0.6, patience=4),
    "HF cosine_with_min_lr": hf("cosine_with_min_lr", min_lr_rate=0.1),
    "HF cosine_warmup_with_min_lr": hf("cosine_warmup_with_min_lr", min_lr_rate=0.1),
    "HF warmup_stable_decay": hf("warmup_stable_decay", num_decay_steps=20),
    "HF greedy": hf("greedy", patience=4, factor=0.6),
}


class Steps:
    """A training with two param groups under a scheduler. ``used`` is what the optimizer's own step found in each."""

    def __init__(self, scheduler: str) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 2)
        groups = [{"params": [self.model.weight], "lr": 0.1}, {"params": [self.model.bias], "lr": 0.04}]
        self.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        self.schedule = SCHEDULERS[scheduler](self.optimizer)
        self.used: list[tuple[float, ...]] = []
        self.optimizer.register_step_pre_hook(lambda *_: self.used.append(self.groups))

    @property
    def groups(self) -> tuple[float, ...]:
        return tuple(group["lr"] for group in self.optimizer.param_groups)

    def step(self, move: Callable[[], None]) -> None:
        self.optimizer.zero_grad()
        self.model(torch.ones(4, 3)).square().mean().backward()
        move()
        # A metric that never improves makes those schedulers reduce that look at one.
        looks = "metrics" in inspect.signature(self.schedule.step).parameters
        self.schedule.step(*([1.0] if looks else []))


def untouched(scheduler: str) -> list[tuple[float, ...]]:
    plain = Steps(scheduler)
    for _ in range(STEPS):
        plain.step(plain.optimizer.step)
    return plain.used


def changed(scheduler: str, run_dir: Path, monitor: Monitor, *action: tuple[str, dict[str, Any]]) -> Steps:
    """The same training, changed at the boundary after `CHANGED_AT` steps and saved and resumed ten steps later."""
    run = Steps(scheduler)
    with Guard(run.model, run.optimizer, scheduler=run.schedule, run_dir=run_dir, checkpoint_every=None) as guard:
        for step in range(1, CHANGED_AT + 11):
            if step == CHANGED_AT:
                monitor.ask(*action)
            run.step(guard.step)
        assert guard.errors == {}
        saved = guard.state_dict(), run.optimizer.state_dict(), run.schedule.state_dict()
    resumed = Steps(scheduler)
    resumed.used = run.used
    resumed.optimizer.load_state_dict(saved[1])
    resumed.schedule.load_state_dict(saved[2])
    with Guard(resumed.model, resumed.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.load_state_dict(saved[0])
        while len(resumed.used) < STEPS:
            resumed.step(guard.step)
        assert guard.errors == {}
    return resumed


def check(scheduler: str, used: list[tuple[float, ...]], monitor: Monitor, factor: float) -> None:
    """Exactly ``factor`` times the untouched learning rate, in each group and each step after the change."""
    plain = untouched(scheduler)
    assert used[:CHANGED_AT] == plain[:CHANGED_AT]
    for step in range(CHANGED_AT, STEPS):
        assert used[step] == pytest.approx([factor * lr for lr in plain[step]], rel=1e-12)
    assert monitor.series("lr") == [lrs[0] for lrs in used]
    assert monitor.series("lr_scale") == pytest.approx([1.0] * CHANGED_AT + [factor] * (STEPS - CHANGED_AT))


def test_no_scheduler_is_left_out() -> None:
    """Of those that torch and Transformers ship."""
    torchs = {name for name in schedulers.__all__ if name != "LRScheduler"} | {SWALR.__name__}
    assert torchs <= {name.split()[0] for name in SCHEDULERS}
    transformers = need_module("transformers")
    assert {f"HF {kind.value}" for kind in transformers.SchedulerType} <= SCHEDULERS.keys()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_scale_lr_holds_over(scheduler: str, run_dir: Path, monitor: Monitor) -> None:
    """For the rest of the run; in between the groups carry the scheduler's own values."""
    run = changed(scheduler, run_dir, monitor, ("scale_lr", {"factor": 0.3}))
    check(scheduler, run.used, monitor, 0.3)
    plain = Steps(scheduler)
    for _ in range(STEPS):
        plain.step(plain.optimizer.step)
    assert run.groups == plain.groups
    ack = monitor.last_ack()
    before, after = run.used[CHANGED_AT - 1][0], run.used[CHANGED_AT][0]
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", CHANGED_AT + 1, before, after)
    assert ack.factor == 0.3


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_set_lr_holds_over(scheduler: str, run_dir: Path, monitor: Monitor) -> None:
    """The value to the digit in the next step, and the schedule's own shape from there on."""
    run = changed(scheduler, run_dir, monitor, ("set_lr", {"lr": 0.0123}))
    assert run.used[CHANGED_AT][0] == pytest.approx(0.0123, rel=1e-15)
    factor = 0.0123 / untouched(scheduler)[CHANGED_AT][0]
    check(scheduler, run.used, monitor, factor)
    assert monitor.last_ack().after == run.used[CHANGED_AT][0]
    assert monitor.last_ack().factor == pytest.approx(factor)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_set_lr_with_hold_silences(scheduler: str, run_dir: Path, monitor: Monitor) -> None:
    """The value in each step, and the other group at the ratio that it had."""
    run = changed(scheduler, run_dir, monitor, ("set_lr", {"lr": 0.0123, "hold": True}))
    first, second = untouched(scheduler)[CHANGED_AT - 1]
    assert run.used[CHANGED_AT:] == [(0.0123, pytest.approx(0.0123 * second / first))] * (STEPS - CHANGED_AT)
    assert monitor.series("lr")[CHANGED_AT:] == [0.0123] * (STEPS - CHANGED_AT)


def test_a_scheduler_that_runs_before_after_step_is_not_disturbed(run_dir: Path, monitor: Monitor) -> None:
    """Frameworks have orders of their own: the overlay is off as soon as the optimizer has stepped."""
    run = Steps("StepLR")
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        for _ in range(STEPS):
            guard.before_step()
            run.step(run.optimizer.step)
            guard.after_step()
    plain = untouched("StepLR")
    assert run.used == [plain[0], *((0.5 * first, 0.5 * second) for first, second in plain[1:])]
