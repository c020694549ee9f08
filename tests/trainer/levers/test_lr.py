"""Actions on the learning rate. That they hold over every scheduler is the matter of test_schedulers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from tests.trainer.support import Monitor, Run
from trainguard import Guard


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
        ({"factor": 0.5, "min": 5, "max": 1}, "min is 5, wanted no more than max, which is 1"),
        ({"factor": 0.5, "minimum": 1e-5}, "unknown parameter minimum"),
        ({"lr": 0}, "lr is 0, wanted a number above 0"),
        ({"lr": 0.1, "hold": "yes"}, "hold is 'yes', wanted true or false"),
        ({"lr": 0.1, "hold": True, "recover_over": 5}, "recover_over with hold: a value that is held does not come"),
        ({"lr": 0.1, "factor": 2}, "unknown parameter factor"),
    ],
)
def test_bad_parameters_are_refused_by_name_and_value(
    params: dict[str, Any], reason: str, run_dir: Path, monitor: Monitor
) -> None:
    """Nothing is changed by an action that is not understood as a whole."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("set_lr" if "lr" in params else "scale_lr", params))
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


def test_set_lr_is_the_value_of_the_next_step_and_the_schedule_goes_on(run_dir: Path, monitor: Monitor) -> None:
    """What lay over the schedule before is gone; what comes after multiplies."""
    run = Run(lambda parameters: torch.optim.SGD(parameters, lr=0.8))
    schedule = schedulers.ExponentialLR(run.optimizer, 0.5)
    ramp = {"start_lr": 1e-4, "base_lr": 0.8, "over": 50, "unit": "steps"}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(
            ("scale_lr", {"factor": 0.1}), ("scale_lr", {"factor": 0.1, "recover_over": 9}), ("rewarm_lr", ramp)
        )
        run.train(guard, scheduler=schedule)
        monitor.ask(("set_lr", {"lr": 0.06}), ("scale_lr", {"factor": 2}))
        run.train(guard, 4, scheduler=schedule)
    assert monitor.series("lr")[2:] == pytest.approx([0.12, 0.06, 0.03])
    assert monitor.series("lr_scale")[2:] == pytest.approx([0.6, 0.6, 0.6])
    assert [ack.status for ack in monitor.acks()] == ["applied"] * 5


def test_set_lr_with_recover_over_comes_back_to_the_schedule(run_dir: Path, monitor: Monitor) -> None:
    """By equal ratios, from the value that was set."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("set_lr", {"lr": 0.025, "recover_over": 4}))
        run.train(guard, 7)
    assert monitor.series("lr") == pytest.approx([0.1, *(0.1 * 0.25 ** (1 - k / 4) for k in range(4)), 0.1, 0.1])


def test_a_held_lr_can_be_scaled_and_is_let_go_by_set_lr(run_dir: Path, monitor: Monitor) -> None:
    """The hold is in place of the schedule, not of trainguard's factor."""
    run = Run()
    schedule = schedulers.ExponentialLR(run.optimizer, 0.5)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("set_lr", {"lr": 0.04, "hold": True}))
        run.train(guard, 2, scheduler=schedule)
        monitor.ask(("scale_lr", {"factor": 0.5, "min": 0.03}))
        run.train(guard, 2, scheduler=schedule)
        monitor.ask(("set_lr", {"lr": 0.05}))
        run.train(guard, 3, scheduler=schedule)
    assert monitor.series("lr") == pytest.approx([0.1, 0.04, 0.04, 0.03, 0.03, 0.05, 0.025])
    held, scaled, let_go = monitor.acks()
    assert (held.factor, scaled.factor) == (None, 0.75)
    assert let_go.factor == pytest.approx(0.05 / (0.1 * 0.5**5) / (0.03 / (0.1 * 0.5**4)))


def test_no_factor_makes_a_learning_rate_of_a_schedule_at_zero(run_dir: Path, monitor: Monitor) -> None:
    """The step shows it: failed, and what was there before is there again. A hold does it."""
    run = Run()
    schedule = schedulers.LambdaLR(run.optimizer, lambda step: float(step < 2))
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 2, scheduler=schedule)
        monitor.ask(("set_lr", {"lr": 0.03}))
        run.train(guard, 2, scheduler=schedule)
        assert guard.state_dict()["lr"]["scale"] == 0.5
        monitor.ask(("set_lr", {"lr": 0.03, "hold": True}))
        run.train(guard, 2, scheduler=schedule)
    assert [(ack.status, ack.reason) for ack in monitor.acks()][1:] == [
        ("failed", "the scheduler's own learning rate is 0: no factor makes 0.03 of it"),
        ("applied", ""),
    ]
    assert monitor.series("lr") == [0.1, 0.05, 0.0, 0.0, 0.0, 0.03]


def test_rewarm_in_steps_is_a_ceiling_that_rises_and_goes(run_dir: Path, monitor: Monitor) -> None:
    """From start_lr to base_lr in whole steps, never above the scheduler's own value times the factor."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard)
        ramp = {"start_lr": 0.02, "base_lr": 0.22, "over": 4, "unit": "steps"}
        monitor.ask(("rewarm_lr", ramp))
        run.train(guard, 7)
        assert guard.state_dict()["lr"]["ceiling"] is None
    assert monitor.series("lr") == pytest.approx([0.1, 0.1, 0.02, 0.07, 0.1, 0.1, 0.1, 0.1])
    assert monitor.series("lr_scale") == pytest.approx([1, 1, 0.2, 0.7, 1, 1, 1, 1])
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", 3, 0.1, 0.02)


def test_rewarm_in_epochs_counts_whole_epochs(run_dir: Path, monitor: Monitor) -> None:
    """The ceiling rises with the epoch handed to the guard; a loop that hands none is refused."""
    run = Run()
    ramp = {"start_lr": 0.02, "base_lr": 0.1, "over": 2}
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
