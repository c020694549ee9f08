"""The overlays on optimizers of every kind, and on several at once: weights as if the change were made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard

Make = Callable[[Any], torch.optim.Optimizer]
DECAYED = {"weight_decay": 0.1}
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, **DECAYED),
    "SGD foreach": lambda parameters: torch.optim.SGD(parameters, lr=0.1, foreach=True, **DECAYED),
    "SGD fused tensor": lambda parameters: torch.optim.SGD(parameters, lr=torch.tensor(0.1), fused=True, **DECAYED),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, amsgrad=True, **DECAYED),
    "Adam tensor": lambda parameters: torch.optim.Adam(parameters, lr=torch.tensor(0.01), **DECAYED),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, **DECAYED),
    "AdamW foreach": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, foreach=True, **DECAYED),
    "AdamW fused": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True, **DECAYED),
    "AdamW fused tensor": lambda parameters: torch.optim.AdamW(
        parameters, lr=torch.tensor(0.01), fused=True, **DECAYED
    ),
    "NAdam": lambda parameters: torch.optim.NAdam(parameters, lr=0.01, **DECAYED),
    "RAdam": lambda parameters: torch.optim.RAdam(parameters, lr=0.01, **DECAYED),
    "Adamax": lambda parameters: torch.optim.Adamax(parameters, lr=0.01, **DECAYED),
    "Adafactor": lambda parameters: torch.optim.Adafactor(parameters, lr=0.01, **DECAYED),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, momentum=0.5, **DECAYED),
    "Adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.05, **DECAYED),
    "Adagrad fused": lambda parameters: torch.optim.Adagrad(parameters, lr=0.05, fused=True, **DECAYED),
    "Adadelta": lambda parameters: torch.optim.Adadelta(parameters, lr=0.5, **DECAYED),
    "ASGD": lambda parameters: torch.optim.ASGD(parameters, lr=0.05, **DECAYED),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_computes_with_what_was_asked_for(name: str, run_dir: Path, monitor: Monitor) -> None:
    """Bit for bit the weights of a plain loop in which lr and weight decay are written by hand."""
    run = Run(OPTIMIZERS[name])
    kept = run.optimizer.param_groups[0]["lr"]
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 3)
        monitor.ask(("scale_lr", {"factor": 0.5}), ("scale_weight_decay", {"factor": 4}))
        run.train(guard, 7)
        assert guard.errors == {}
    assert run.optimizer.param_groups[0]["lr"] is kept

    plain = Run(OPTIMIZERS[name])
    for step in range(10):
        plain.backward()
        if step == 4:
            for group in plain.optimizer.param_groups:
                group["lr"] *= 0.5
                group["weight_decay"] *= 4
        plain.optimizer.step()
    assert_same(plain.model.state_dict(), run.model.state_dict())
    acks = monitor.acks()
    lr = float(plain.optimizer.param_groups[0]["lr"])
    assert [(ack.step, ack.before, ack.after) for ack in acks] == [(5, 2 * lr, lr), (5, 0.1, 0.4)]


def several(parameters: Any) -> list[torch.optim.Optimizer]:
    first, second, *others = list(parameters)
    groups = [{"params": [first], "lr": 0.2}, {"params": [second], "lr": 0.05}]
    return [torch.optim.SGD(groups, lr=1.0, weight_decay=0.01), torch.optim.AdamW(others, lr=0.01, weight_decay=0.1)]


@pytest.mark.parametrize("halves", [False, True], ids=["guard.step", "before_step and after_step"])
def test_all_groups_of_all_optimizers(halves: bool, run_dir: Path, monitor: Monitor) -> None:
    """The bounds and the signal are of the first group of the first; weight decay's of the largest of all."""
    run, used = Run(), []
    optimizers = several(run.model.parameters())
    for optimizer in optimizers:
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: used.append([(g["lr"], g["weight_decay"]) for g in optimizer.param_groups])
        )
    each_step: Any = {"weight_decay": 1}
    with Guard(run.model, optimizers, run_dir=run_dir, checkpoint_every=None, every=each_step) as guard:
        monitor.ask(("set_lr", {"lr": 0.1}), ("scale_weight_decay", {"factor": 4, "max": 0.2}))
        for _ in range(2):
            loss, *_ = run.backward()
            if not halves:
                guard.step(loss)
                continue
            guard.before_step(loss)
            for optimizer in reversed(optimizers):
                optimizer.step()
            guard.after_step()
        assert guard.errors == {}
    first, second = (1, 0) if halves else (0, 1)
    assert used[first] == [(0.2, 0.01), (0.05, 0.01)]
    assert used[second] == [(0.01, 0.1)]
    assert used[2 + first] == [(0.1, 0.02), (0.025, 0.02)]
    assert used[2 + second] == [(0.005, 0.2)]
    assert monitor.series("lr") == [0.2, 0.1]
    assert monitor.series("weight_decay") == [0.1, 0.2]
