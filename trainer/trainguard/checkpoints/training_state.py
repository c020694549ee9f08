"""What a checkpoint holds of a training run, and how it comes back.

Back comes what the optimizer computes with: weights, buffers, moments, random states, written into the tensors
that are there, because others hold references to them. What steers it goes on as it is: the step counter, the
scheduler, and the hyperparameters of the param groups, since a scheduler wrote those for *now*.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainguard.checkpoints import rng
from trainguard.faults import Faults

_SCALARS = (int, float, bool, str, type(None))


class Misfit(ValueError):
    """A checkpoint of another model or optimizer. Nothing was restored from it."""


class TrainingState:
    """Captures and restores the state of a model and its optimizers; the schedulers' is kept for the user."""

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Optimizer], schedulers: Sequence[Any], faults: Faults
    ) -> None:
        self._model = model
        self._optimizers = tuple(optimizers)
        self._schedulers = tuple(schedulers)
        self._faults = faults

    def capture(self) -> dict[str, Any]:
        """The state as plain types and live tensors, so that ``torch.load(weights_only=True)`` reads it.

        Raises TypeError, naming the place, for state of another kind.
        """
        return {
            "model": plain(self._model.state_dict(), "model"),
            "optimizers": [plain(optimizer.state_dict(), "optimizer") for optimizer in self._optimizers],
            "schedulers": [self._scheduler_state(scheduler) for scheduler in self._schedulers],
            "rng": rng.capture(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Raises `Misfit` before anything is changed."""
        self._check(saved)
        self._model.load_state_dict(saved["model"])
        for optimizer, moments in zip(self._optimizers, saved["optimizers"], strict=True):
            restore_moments(optimizer, moments)
        rng.restore(saved["rng"])
        self._model.zero_grad(set_to_none=True)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _scheduler_state(self, scheduler: Any) -> Any:
        try:
            return plain(scheduler.state_dict(), "scheduler")
        except Exception as error:  # a restore does not need it: better a checkpoint without than none
            self._faults.note("checkpoint.scheduler", error)
            return None

    def _check(self, saved: Mapping[str, Any]) -> None:
        ours, theirs = _layout(self._model.state_dict()), _layout(saved["model"])
        if ours != theirs:
            name = next(iter(ours.items() ^ theirs.items()))[0]
            raise Misfit(f"{name!r} of the model is {ours.get(name)} now, and {theirs.get(name)} in the checkpoint")
        sizes = [_group_sizes(optimizer.param_groups) for optimizer in self._optimizers]
        saved_sizes = [_group_sizes(optimizer["param_groups"]) for optimizer in saved["optimizers"]]
        if sizes != saved_sizes:
            raise Misfit(f"the optimizers have groups of {sizes} parameters now, and {saved_sizes} in the checkpoint")


def plain(value: Any, place: str) -> Any:
    """``value`` in plain types: dicts, lists and tuples of numbers, strings, None and tensors."""
    if isinstance(value, Tensor) or type(value) in _SCALARS or isinstance(value, torch.dtype | torch.device):
        return value
    if isinstance(value, Mapping):
        return {plain(key, place): plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    for kind in (bool, int, float, str):  # subclasses: numpy's float64 is a float
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{place} holds a {type(value).__module__}.{type(value).__qualname__}, which cannot be stored")


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
    # Another layout, as at step 0, when there are no moments yet: torch builds the state anew.
    groups = optimizer.param_groups
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    optimizer.param_groups = groups


def _copy_into(now: dict[str, Any], then: Mapping[str, Any]) -> None:
    for name, value in then.items():
        if isinstance(value, Tensor):
            now[name].copy_(value)
        else:
            now[name] = value


def _same_layout(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    return now.keys() == then.keys() and all(
        (isinstance(value, Tensor) and value.shape == then[name].shape and value.dtype == then[name].dtype)
        if isinstance(then[name], Tensor)
        else type(value) in _SCALARS and type(then[name]) in _SCALARS
        for name, value in now.items()
    )


def _group_sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _layout(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value.shape) if isinstance(value, Tensor) else type(value) for name, value in state.items()}
