"""Signals of the activations, read with forward hooks on the watched modules.

Even a hook that does nothing costs 1.5 % of a small model's step, so hooks exist only from the end of one step
to the end of the next, where the signal is due. They run inside the user's forward pass: they swallow what goes
wrong in them, look only while the module is in training, and draw nothing from any random generator.
Several forward passes before one step (micro-batches) count together.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainguard.faults import Faults
from trainguard.signals.base import Sensor, StepView, Value, every

# Elementwise activations: a softmax or an attention block of torch.nn.modules.activation is none.
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *(nn.Threshold, nn.ReLU, nn.RReLU, nn.Hardtanh, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.ELU, nn.CELU, nn.SELU, nn.GLU, nn.GELU, nn.Hardshrink, nn.LeakyReLU),
    *(nn.LogSigmoid, nn.Softplus, nn.Softshrink, nn.PReLU, nn.Softsign, nn.Tanhshrink),
)


def activations_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules of a model that are activations of torch.nn. Functional calls cannot be seen."""
    return tuple(module for module in model.modules() if isinstance(module, ACTIVATIONS))


class ActivationSensor(Sensor):
    """Watches modules during the steps it is armed for."""

    def __init__(self, modules: Iterable[nn.Module], faults: Faults) -> None:
        self._modules = tuple(modules)
        self._faults = faults
        self._hooks: list[RemovableHandle] = []

    def arm(self, due: AbstractSet[str]) -> None:
        self.disarm()
        self.reset()
        for module in self._modules:
            self._hooks.append(module.register_forward_hook(self._on_forward))

    def disarm(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def reset(self) -> None:
        raise NotImplementedError

    def take(self, module: nn.Module, output: Tensor) -> None:
        raise NotImplementedError

    def _on_forward(self, module: nn.Module, _: Any, output: Any) -> None:
        if not module.training or not isinstance(output, Tensor):
            return
        with self._faults.around(f"signal.{self.name}"), torch.no_grad():
            self.take(module, output)


class ActivationSparsity(ActivationSensor):
    """Share of activations with |a| < 0.1, all watched modules together. The seed: "activation sparsity".

    A NaN is not counted as small. ReLU units are about half zero at random initialization.
    """

    name = "activation_sparsity"
    signals = every(activation_sparsity=100)
    threshold = 0.1

    def reset(self) -> None:
        self._num_small: Tensor | None = None
        self._num_all = 0

    def take(self, module: nn.Module, output: Tensor) -> None:
        small = (output.abs() < self.threshold).sum()
        self._num_small = small if self._num_small is None else self._num_small + small.to(self._num_small.device)
        self._num_all += output.numel()

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {self.name: self._num_small / self._num_all if self._num_small is not None and self._num_all else None}


class DeadUnits(ActivationSensor):
    """Share of activation units that are exactly zero on the whole batch, all watched modules together.

    A unit is a channel (axis 1) of outputs with four axes or more, else a place on the last axis. A module used
    several times in one forward pass has units of its own in each use. A NaN is not zero.
    """

    name = "dead_units"
    signals = every(dead_units=None)

    def __init__(self, model: nn.Module, modules: Iterable[nn.Module], faults: Faults) -> None:
        super().__init__(modules, faults)
        self._model = model

    def arm(self, due: AbstractSet[str]) -> None:
        super().arm(due)
        self._hooks.append(self._model.register_forward_pre_hook(self._on_new_pass))

    def reset(self) -> None:
        self._alive: dict[tuple[nn.Module, int], Tensor] = {}
        self._num_uses: dict[nn.Module, int] = {}

    def take(self, module: nn.Module, output: Tensor) -> None:
        use = self._num_uses.get(module, 0)
        self._num_uses[module] = use + 1
        unit_axis = 1 if output.dim() >= 4 else output.dim() - 1
        alive = (output != 0).movedim(unit_axis, -1).flatten(0, -2).any(dim=0)
        before = self._alive.get((module, use))
        self._alive[module, use] = alive if before is None else before | alive

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        num_units = sum(alive.numel() for alive in self._alive.values())
        if not num_units:
            return {}
        counts = [alive.sum() for alive in self._alive.values()]
        alive = torch.stack([count.to(counts[0].device) for count in counts]).sum()
        return {self.name: 1.0 - alive / num_units}

    def _on_new_pass(self, *_: Any) -> None:
        self._num_uses.clear()
