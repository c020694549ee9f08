"""Optimizers of each way to leave an update out, and whether two of them stand at the same point."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.trainer.support import Run, assert_same

Optimizers = dict[str, Callable[[Any], torch.optim.Optimizer]]

HOST: Optimizers = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01),
}
FUSED: Optimizers = {
    "sgd fused": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, fused=True),
    "adamw fused": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    "adagrad fused": lambda parameters: torch.optim.Adagrad(parameters, lr=0.01, fused=True),
}
ALL = HOST | FUSED


def state_of(run: Run) -> dict[str, Tensor]:
    states = run.optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(v) for i, s in states.items() for name, v in s.items() if v is not None}


def assert_same_run(left: Run, right: Run) -> None:
    assert_same(left.model.state_dict(), right.model.state_dict())
    assert_same(state_of(left), state_of(right))
