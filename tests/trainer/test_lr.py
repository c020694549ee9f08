"""The learning rate overlay: it sticks over every scheduler, and no scheduler notices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from tests.trainer.support import Monitor, Run
from trainguard import Guard

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda optimizer: schedulers.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step)),
    "one_cycle": lambda optimizer: schedulers.OneCycleLR(optimizer, max_lr=0.5, total_steps=40),
    "cosine": lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 20, eta_min=0.01),
    "step": lambda optimizer: schedulers.StepLR(optimizer, 3, gamma=0.7),
    "restarts": lambda optimizer: schedulers.CosineAnnealingWarmRestarts(optimizer, 5),
    "sequential": lambda optimizer: schedulers.SequentialLR(
        optimizer,
        [schedulers.LinearLR(optimizer, 0.1, total_iters=4), schedulers.ExponentialLR(optimizer, 0.9)],
        milestones=[4],
    ),
}
LRS: dict[str, Callable[[], Any]] = {"float": lambda: 0.1, "tensor": lambda: torch.tensor(0.1)}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("lr", LRS)
def test_scale_lr_sticks_and_the_scheduler_does_not_notice(
    lr: str, scheduler: str, run_dir: Path, monitor: Monitor
) -> None:
    """Half of what the untouched scheduler gives, in each later step; its own values stay exactly."""

    def make(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=LRS[lr]())

    untouched = Run(make)
    schedule = SCHEDULERS[scheduler](untouched.optimizer)
    expected = []
    for _ in range(20):
        expected.append(float(untouched.optimizer.param_groups[0]["lr"]))
        untouched.optimizer.step()
        schedule.step()

    run = Run(make)
    schedule = SCHEDULERS[scheduler](run.optimizer)
    kept = run.optimizer.param_groups[0]["lr"]
    with Guard(run.model, run.optimizer, scheduler=schedule, run_dir=run_dir) as guard:
        for step in range(20):
            assert float(run.optimizer.param_groups[0]["lr"]) == expected[step]
            if step == 4:
                monitor.ask(("scale_lr", {"factor": 0.5}))
            run.train(guard, scheduler=schedule)
    assert monitor.series("lr") == expected[:5] + [pytest.approx(0.5 * value) for value in expected[5:]]
    assert monitor.series("lr_scale") == [1.0] * 5 + [0.5] * 15
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before) == ("applied", 6, expected[4])
    assert ack.after == pytest.approx(0.5 * expected[5])
    if lr == "tensor":
        assert run.optimizer.param_groups[0]["lr"] is kept
    assert guard.errors == {}


def test_the_optimizer_really_uses_the_scaled_lr(run_dir: Path, monitor: Monitor) -> None:
    """Weights equal those of a plain run whose lr is halved by hand, in every group."""

    def make(parameters: Any) -> torch.optim.Optimizer:
        first, *others = list(parameters)
        return torch.optim.SGD([{"params": [first], "lr": 0.2}, {"params": others, "lr": 0.05}], lr=0.1)

    run = Run(make)
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}), ("scale_lr", {"factor": 0.5}))
        run.train(guard, 5)
    plain = Run(make)
    for step in range(5):
        plain.backward()
        if step == 1:
            for group in plain.optimizer.param_groups:
                group["lr"] *= 0.25
        plain.optimizer.step()
    assert torch.equal(run.model.layers[0].weight, plain.model.layers[0].weight)
    assert torch.equal(run.model.layers[4].weight, plain.model.layers[4].weight)
    assert [ack.after for ack in monitor.acks()] == [0.05, 0.05]


def test_a_tensor_shared_by_two_groups_is_scaled_once(run_dir: Path, monitor: Monitor) -> None:
    """One lr tensor for all groups is a torch idiom."""
    lr = torch.tensor(0.4)
    run = Run(
        lambda parameters: torch.optim.Adam([{"params": [parameter], "lr": lr} for parameter in parameters], lr=lr)
    )
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 2)
    assert monitor.series("lr") == pytest.approx([0.4, 0.2])
    assert lr == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("params", "status", "after"),
    [
        ({"factor": 0.5}, "applied", 0.05),
        ({"factor": 0.5, "min": 0.08}, "applied", 0.08),
        ({"factor": 0.5, "min": 0.1}, "refused", None),
        ({"factor": 0.5, "min": 0.2}, "refused", None),
        ({"factor": 3.0}, "applied", 0.3),
        ({"factor": 3.0, "max": 0.15}, "applied", 0.15),
        ({"factor": 3, "max": 0.1}, "refused", None),
        ({"factor": 1}, "applied", 0.1),
    ],
)
def test_bounds_of_scale_lr(
    params: dict[str, float], status: str, after: float | None, run_dir: Path, monitor: Monitor
) -> None:
    """The factor is clamped so that the lr in effect stays within the bounds; at a bound it is refused."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", params))
        run.train(guard, 2)
    ack = monitor.last_ack()
    assert (ack.status, ack.after) == (status, None if after is None else pytest.approx(after))
    assert monitor.series("lr")[1] == pytest.approx(0.1 if after is None else after)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "factor is None"),
        ({"factor": 0}, "factor is 0, wanted a number above 0"),
        ({"factor": -1.5}, "factor is -1.5"),
        ({"factor": "half"}, "factor is 'half'"),
        ({"factor": True}, "factor is True"),
        ({"factor": 0.5, "min": -1}, "min is -1"),
        ({"factor": 0.5, "minimum": 1e-5}, "unknown parameter minimum"),
    ],
)
def test_bad_parameters_are_refused_by_name_and_value(
    params: dict[str, Any], reason: str, run_dir: Path, monitor: Monitor
) -> None:
    """Nothing is changed by an action that is not understood as a whole."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", params))
        run.train(guard, 2)
    ack = monitor.last_ack()
    assert (ack.status, ack.step) == ("refused", 1)
    assert reason in ack.reason
    assert monitor.series("lr_scale") == [1.0, 1.0]


def test_recover_over_brings_the_learning_rate_back(run_dir: Path, monitor: Monitor) -> None:
    """By equal ratios over so many steps; a lasting factor stays, and a resumed run goes on where it was."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}), ("scale_lr", {"factor": 0.25, "recover_over": 4}))
        run.train(guard, 3)
        state = guard.state_dict()
        run.train(guard, 4)
        assert guard.state_dict()["lr"]["recoveries"] == []
    halves = [0.25 ** (1 - k / 4) / 2 for k in range(4)]
    assert monitor.series("lr_scale") == pytest.approx([1.0, *halves, 0.5, 0.5])
    resumed = Run()
    with Guard(resumed.model, resumed.optimizer, run_dir=run_dir.with_name("b"), checkpoint_every=None) as guard:
        guard.load_state_dict(state)
        resumed.train(guard)
        assert guard.state_dict()["lr"]["recoveries"] == state["lr"]["recoveries"]


def test_rewarm_in_steps_is_a_ceiling_that_rises_and_goes(run_dir: Path, monitor: Monitor) -> None:
    """From start_lr to base_lr in whole steps, never above the scheduler's own value times the factor."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
        ramp = {"start_lr": 0.02, "base_lr": 0.22, "over": 4, "unit": "steps"}
        monitor.ask(("rewarm_lr", ramp))
        run.train(guard, 7)
        assert guard.state_dict()["lr"] == {"scale": 1.0, "ceiling": None, "recoveries": []}
    assert monitor.series("lr") == pytest.approx([0.1, 0.1, 0.02, 0.07, 0.1, 0.1, 0.1, 0.1])
    assert monitor.series("lr_scale") == pytest.approx([1, 1, 0.2, 0.7, 1, 1, 1, 1])
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", 3, 0.1, 0.02)


def test_rewarm_in_epochs_counts_whole_epochs(run_dir: Path, monitor: Monitor) -> None:
    """The ceiling rises with the epoch handed to the guard; a loop that hands none is refused."""
    run = Run()
    ramp = {"start_lr": 0.02, "base_lr": 0.1, "over": 2, "unit": "epochs"}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("rewarm_lr", ramp))
        run.train(guard, 1)
        assert "hands no epoch" in monitor.last_ack().reason
        monitor.ask(("rewarm_lr", ramp))
        for epoch in (3, 3, 4, 5):
            run.train(guard, 2, epoch=epoch)
    assert monitor.series("lr") == pytest.approx([0.1, 0.1, 0.02, 0.02, 0.02, 0.06, 0.06, 0.1, 0.1])


def test_scale_from_a_zero_lr_holds_for_the_warmup_to_come(run_dir: Path, monitor: Monitor) -> None:
    """A warm-up that starts at 0 has nothing to bound yet."""
    run = Run()
    schedule = schedulers.LambdaLR(run.optimizer, lambda step: step / 4)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 3, scheduler=schedule)
    assert monitor.series("lr") == pytest.approx([0.0, 0.0125, 0.025])


def test_lr_changes_not_seen_by_any_step_expire(run_dir: Path, monitor: Monitor) -> None:
    """The ack never claims more than was observed."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard)
    ack = monitor.last_ack()
    assert (ack.status, ack.reason) == ("expired", "training ended before a step could show it")
    assert type(monitor.records()[-1]).__name__ == "Goodbye"


def weight_decay_groups(parameters: Any) -> torch.optim.Optimizer:
    first, second, *others = list(parameters)
    groups = [
        {"params": [first], "weight_decay": 0.1},
        {"params": [second], "weight_decay": 0.01},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.01)


def test_weight_decay_is_scaled_where_there_is_some_up_to_the_cap(run_dir: Path, monitor: Monitor) -> None:
    """Groups at 0 stay at 0, each other group is capped for itself, and the signal shows the largest."""
    run = Run(weight_decay_groups)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 4.0, "max": 0.2}))
        run.train(guard, 2)
        assert [group["weight_decay"] for group in run.optimizer.param_groups] == [0.2, 0.04, 0.0]
        monitor.ask(("scale_weight_decay", {"factor": 10.0, "max": 0.04}))
        run.train(guard)
    assert monitor.series("weight_decay") == [0.1, 0.2, 0.2]
    first, second = monitor.acks()
    assert (first.status, first.step, first.before, first.after) == ("applied", 2, 0.1, 0.2)
    assert (second.status, second.reason) == ("refused", "weight decay is 0.2 and the action's bound is max 0.04")


def test_weight_decay_that_something_else_writes_is_reported_as_failed(run_dir: Path, monitor: Monitor) -> None:
    """A schedule of the user's own wins, and the ack says so."""
    run = Run(weight_decay_groups)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 2.0}))
        run.train(guard)
        run.optimizer.param_groups[0]["weight_decay"] = 0.1
        run.train(guard)
    assert monitor.last_ack().status == "failed"
    assert "0.2 was written, but the step saw 0.1" in monitor.last_ack().reason


def test_without_any_weight_decay_it_is_refused(run_dir: Path, monitor: Monitor) -> None:
    """Zero times four is zero."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 4.0}))
        run.train(guard)
    assert (monitor.last_ack().status, monitor.last_ack().reason) == (
        "refused",
        "no param group has a weight decay above 0",
    )
