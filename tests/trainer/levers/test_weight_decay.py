"""Actions on weight decay: an overlay like that on the learning rate, where there is some."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.support import Monitor, Run
from trainguard import Guard


def three_groups(parameters: Any) -> torch.optim.Optimizer:
    first, second, *others = list(parameters)
    groups = [
        {"params": [first], "weight_decay": 0.1},
        {"params": [second], "weight_decay": 0.01},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.01)


class Watched(Run):
    """``used`` is the weight decay that the optimizer's own step found in each group."""

    def __init__(self) -> None:
        super().__init__(three_groups)
        self.used: list[list[float]] = []
        self.optimizer.register_step_pre_hook(lambda *_: self.used.append(self.groups))

    @property
    def groups(self) -> list[float]:
        return [group["weight_decay"] for group in self.optimizer.param_groups]


def test_it_is_scaled_where_there_is_some_up_to_the_cap(run_dir: Path, monitor: Monitor) -> None:
    """The largest is capped, the others keep their ratio to it, and groups at 0 stay at 0."""
    run = Watched()
    each_step: Any = {"weight_decay": 1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every=each_step) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 4.0, "max": 0.2}))
        run.train(guard, 2)
        assert run.groups == [0.1, 0.01, 0.0]
        monitor.ask(("scale_weight_decay", {"factor": 10.0, "max": 0.04}))
        run.train(guard)
    assert run.used == [[0.1, 0.01, 0.0], [0.2, 0.02, 0.0], [0.2, 0.02, 0.0]]
    assert monitor.series("weight_decay") == [0.1, 0.2, 0.2]
    first, second = monitor.acks()
    assert (first.status, first.step, first.before, first.after, first.factor) == ("applied", 2, 0.1, 0.2, 2.0)
    assert (second.status, second.reason) == ("refused", "weight decay is 0.2 and the action's bound is max 0.04")


def test_set_weight_decay_is_for_the_largest(run_dir: Path, monitor: Monitor) -> None:
    """To zero and up again: a factor of zero is no way back, a value is."""
    run = Watched()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        for kind, params in (
            ("set_weight_decay", {"weight_decay": 0.0}),
            ("scale_weight_decay", {"factor": 2.0}),
            ("set_weight_decay", {"weight_decay": 0.5}),
        ):
            monitor.ask((kind, params))
            run.train(guard)
        run.train(guard)
    assert run.used == [[0.1, 0.01, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.05, 0.0]]
    refused, zero, half = monitor.acks()[1], monitor.acks()[0], monitor.acks()[2]
    assert (zero.before, zero.after) == (0.1, 0.0)
    assert (half.before, half.after, half.factor) == (0.0, 0.5, None)
    assert refused.reason == "weight decay was set to 0: no factor makes more of it, set_weight_decay does"


def test_a_schedule_of_weight_decay_does_not_undo_it(run_dir: Path, monitor: Monitor) -> None:
    """As DINO and Megatron have one: written anew before each step."""
    run = Watched()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 2.0}))
        for step in range(5):
            run.optimizer.param_groups[0]["weight_decay"] = 0.1 + 0.01 * step
            run.train(guard)
    assert [first for first, *_ in run.used] == pytest.approx([0.1, 0.22, 0.24, 0.26, 0.28])


def test_it_is_resumed_with_and_without_the_optimizers_own_state(run_dir: Path, monitor: Monitor) -> None:
    """The factor is trainguard's, so that it is neither lost nor applied twice."""
    first = Watched()
    with Guard(first.model, first.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("scale_weight_decay", {"factor": 3.0}))
        first.train(guard, 2)
        state, optimizer = json.loads(json.dumps(guard.state_dict())), first.optimizer.state_dict()
    for with_optimizer in (False, True):
        second = Watched()
        if with_optimizer:
            second.optimizer.load_state_dict(optimizer)
        with Guard(second.model, second.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
            guard.load_state_dict(state)
            second.train(guard)
        assert second.used == [pytest.approx([0.3, 0.03, 0.0])]


@pytest.mark.parametrize("kind", ["scale_weight_decay", "set_weight_decay"])
def test_without_any_weight_decay_it_is_refused(kind: str, run_dir: Path, monitor: Monitor) -> None:
    """Zero times four is zero."""
    run = Run()
    params = {"factor": 4.0} if kind == "scale_weight_decay" else {"weight_decay": 0.1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask((kind, params))
        run.train(guard)
    reason = "no param group has a weight decay above 0"
    assert (monitor.last_ack().status, monitor.last_ack().reason) == ("refused", reason)
