"""How an optimizer's state comes back: into the tensors that are there, because others hold references to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainguard.checkpoints.plain import SCALARS, copied


def restore_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Bring an optimizer's per-parameter state back; its groups' hyperparameters stay as they are."""
    states: Mapping[Any, Mapping[str, Any]] = saved["state"]
    indices = [index for group in saved["param_groups"] for index in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    pairs = [(optimizer.state.get(p, {}), states.get(i, {})) for p, i in zip(parameters, indices, strict=True)]
    if set(states) <= set(indices) and all(_same_layout(now, then) for now, then in pairs):
        with torch.no_grad():
            for now, then in pairs:
                _copy_into(now, then)
        return
    # Another layout, as at step 0, when there are no moments yet: torch builds the state anew, and may keep what it
    # is handed.
    groups = optimizer.param_groups
    optimizer.load_state_dict({"state": copied(states), "param_groups": optimizer.state_dict()["param_groups"]})
    optimizer.param_groups = groups


def restore_hyperparameters(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Bring the learning rate and all else that stands in the param groups back."""
    for group, then in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        known = {name: value for name, value in then.items() if name != "params"}
        with torch.no_grad():
            _copy_into(group, known)


def group_sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _copy_into(now: dict[str, Any], then: Mapping[str, Any]) -> None:
    for name, value in then.items():
        if isinstance(value, Tensor) and isinstance(now.get(name), Tensor):
            now[name].copy_(value)
        else:
            now[name] = copied(value)


def _same_layout(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    return now.keys() == then.keys() and all(
        (isinstance(value, Tensor) and value.shape == then[name].shape and value.dtype == then[name].dtype)
        if isinstance(then[name], Tensor)
        else type(value) in SCALARS and type(then[name]) in SCALARS
        for name, value in now.items()
    )
