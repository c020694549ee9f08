"""What a checkpoint holds of a training run, and how it comes back.

Back comes what a step computes with: weights, buffers, moments, the loss scale, the user's own state, random
states. It is written into the tensors that are there, because others hold references to them. What steers the run
goes on as it is: the step counter, the schedulers, the hyperparameters of the param groups (a scheduler wrote
those for *now*) and the data. A full rewind takes all of it back but the step counter.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainguard.checkpoints import rng
from trainguard.checkpoints.data_stream import DataStream
from trainguard.checkpoints.optimizer_state import group_sizes, restore_hyperparameters, restore_moments
from trainguard.checkpoints.plain import copied, plain
from trainguard.faults import Faults
from trainguard.settings import Settings


class Misfit(ValueError):
    """A checkpoint of another run, or one without what is wanted of it. Nothing was restored from it."""


class TrainingState:
    """Captures and restores everything that `Settings` names."""

    def __init__(self, settings: Settings, data: DataStream, faults: Faults) -> None:
        self._model, self._optimizers, self._schedulers = settings.model, settings.optimizers, settings.schedulers
        self._scaler, self._state, self._data, self._faults = settings.scaler, settings.state, data, faults

    def capture(self, *, in_loop: bool) -> dict[str, Any]:
        """The state as a plain tree of live tensors; the data's position only ``in_loop``.

        A gradient scaler reads its numbers for it, which waits for the accelerator; else nothing waits. Raises
        TypeError, naming the place, for state that has no plain form.
        """
        own = self.capture_own(in_loop=in_loop)
        return {
            "rng": own["rng"],
            "model": plain(self._model.state_dict(), "model"),
            "optimizers": [plain(optimizer.state_dict(), "optimizer") for optimizer in self._optimizers],
            "schedulers": [self._scheduler_state(scheduler) for scheduler in self._schedulers],
            "scaler": None if self._scaler is None else plain(self._scaler.state_dict(), "scaler"),
            "state": {name: plain(each.state_dict(), f"state[{name!r}]") for name, each in self._state.items()},
            "loader": own["loader"],
        }

    def capture_own(self, *, in_loop: bool) -> dict[str, Any]:
        """What of it is another on each of several ranks."""
        return {"rng": rng.capture(), "loader": plain(self._data.position(), "loader") if in_loop else None}

    def check(self, saved: Mapping[str, Any], *, rewind: bool = False) -> None:
        """Raises `Misfit` where `restore` would."""
        self._check(saved)
        if rewind:
            self._check_rewind(saved)

    def restore(self, saved: Mapping[str, Any], *, rewind: bool = False) -> None:
        """Take it back; with ``rewind``, schedulers, hyperparameters and the data's position as well.

        Raises `Misfit` before anything is changed, and what the user's own ``load_state_dict`` raises.
        """
        self.check(saved, rewind=rewind)
        for name, each in self._state.items():
            each.load_state_dict(copied(saved["state"][name]))
        if saved["scaler"]:
            self._scaler.load_state_dict(copied(saved["scaler"]))
        if rewind:
            self._rewind(saved)
        self._model.load_state_dict(_fit_to_keep(saved["model"]))
        for optimizer, moments in zip(self._optimizers, saved["optimizers"], strict=True):
            restore_moments(optimizer, moments)
            optimizer.zero_grad(set_to_none=True)
        self._model.zero_grad(set_to_none=True)
        rng.restore(saved["rng"])

    def why_not_rewind(self) -> str | None:
        """What this run lacks for a rewind; None where it lacks nothing."""
        if self._data.loader is None:
            return "rewind is 'full', but the guard was given no loader= whose position could go back"
        for scheduler in self._schedulers:
            if not callable(getattr(scheduler, "load_state_dict", None)):
                return f"rewind is 'full', but the scheduler, a {type(scheduler).__name__}, has no load_state_dict"
        return None

    def _rewind(self, saved: Mapping[str, Any]) -> None:
        for scheduler, state in zip(self._schedulers, saved["schedulers"], strict=True):
            scheduler.load_state_dict(copied(state))
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            restore_hyperparameters(optimizer, state)
        self._data.rewind(copied(saved["loader"]))

    def _scheduler_state(self, scheduler: Any) -> Any:
        try:
            return plain(scheduler.state_dict(), "scheduler")
        except Exception as error:  # most restores do not need it: better a checkpoint without than none
            self._faults.note("checkpoint.scheduler", error)
            return None

    def _check(self, saved: Mapping[str, Any]) -> None:
        ours, theirs = _layout(self._model.state_dict()), _layout(saved["model"])
        if ours != theirs:
            name = next(iter(ours.items() ^ theirs.items()))[0]
            raise Misfit(f"{name!r} of the model is {ours.get(name)} now, and {theirs.get(name)} in the checkpoint")
        sizes = [group_sizes(optimizer.param_groups) for optimizer in self._optimizers]
        saved_sizes = [group_sizes(optimizer["param_groups"]) for optimizer in saved["optimizers"]]
        if sizes != saved_sizes:
            raise Misfit(f"the optimizers have groups of {sizes} parameters now, and {saved_sizes} in the checkpoint")
        if self._state.keys() != saved["state"].keys():
            raise Misfit(f"state= names {sorted(self._state)} now, and {sorted(saved['state'])} in the checkpoint")
        if saved["scaler"] and self._scaler is None:
            raise Misfit("the checkpoint has the state of a scaler, and there is none now")

    def _check_rewind(self, saved: Mapping[str, Any]) -> None:
        if saved["loader"] is None:
            raise Misfit("the checkpoint was saved outside the loop: it has no position in the data")
        if len(saved["schedulers"]) != len(self._schedulers) or None in saved["schedulers"]:
            raise Misfit("the checkpoint lacks the state of a scheduler")


def _fit_to_keep(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tensors are copied by ``load_state_dict``; an extra state of a module's own may be kept as it is handed."""
    fit = model.copy() if isinstance(model, dict) else dict(model)
    fit.update({name: copied(value) for name, value in model.items() if name.endswith("_extra_state")})
    return fit


def _layout(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value.shape) if isinstance(value, Tensor) else type(value) for name, value in state.items()}
