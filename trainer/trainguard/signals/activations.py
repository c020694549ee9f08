"""Signals of the activations: how many of them are small, zero, or zero on every sample.

The outputs of the watched modules are counted as they pass, in training mode, all modules together. Several
forward passes before one step (micro-batches) count together.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import Count, add, as_numpy, counts_below
from trainguard.signals.hooks import Hooks

# Elementwise activations: a softmax or an attention block of torch.nn.modules.activation is none.
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *(nn.Threshold, nn.ReLU, nn.RReLU, nn.Hardtanh, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.ELU, nn.CELU, nn.SELU, nn.GLU, nn.GELU, nn.Hardshrink, nn.LeakyReLU),
    *(nn.LogSigmoid, nn.Softplus, nn.Softshrink, nn.PReLU, nn.Softsign, nn.Tanhshrink),
)

Mask = Tensor | NDArray[np.bool_]


def activations_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules of a model that are activations of torch.nn. Functional calls cannot be seen."""
    return tuple(module for module in model.modules() if isinstance(module, ACTIVATIONS))


class Activations(Sensor):
    """``activation_sparsity``, ``zero_fraction`` and ``dead_units``; none where no watched module ran.

    ``activation_sparsity``: share of activations with |a| < 0.1, the seed's. ReLU units are about half zero at
    random initialization.
    ``zero_fraction``: share of activations that are exactly zero (github.com/mbarsbey/advcomp).
    ``dead_units``: share of units that are exactly zero on the whole batch. A unit is a channel (axis 1) of outputs
    with four axes or more, else a place on the last axis. A module used several times in one forward pass has units
    of its own in each use.

    A NaN is neither small nor zero.
    """

    name = "activations"
    signals = every(activation_sparsity=100, zero_fraction=100, dead_units=100)

    def __init__(self, model: nn.Module, modules: Iterable[nn.Module], faults: Faults) -> None:
        self._model = model
        self._modules = tuple(modules)
        self._hooks = Hooks("signal.activations", faults)
        self._due: frozenset[str] = frozenset()
        self._reset()

    def arm(self, due: AbstractSet[str]) -> None:
        self._due = frozenset(due)
        for module in self._modules:
            self._hooks.on_output(module, self._count)
        if "dead_units" in due:
            self._hooks.on_call(self._model, self._num_uses.clear)

    def take_hook_seconds(self) -> float:
        return self._hooks.take_seconds()

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        values: dict[str, Value] = {}
        if self._num_all:
            values["activation_sparsity"] = self._num_small / self._num_all
            values["zero_fraction"] = self._num_zero / self._num_all
        if num_units := sum(len(alive) for alive in self._alive.values()):
            num_alive: Count = 0
            for alive in self._alive.values():
                num_alive = add(num_alive, _count(alive))
            values["dead_units"] = 1.0 - num_alive / num_units
        return values

    def disarm(self) -> None:
        self._hooks.remove()
        self._reset()

    def _reset(self) -> None:
        self._num_all = 0
        self._num_small: Count = 0
        self._num_zero: Count = 0
        self._alive: dict[tuple[nn.Module, int], Mask] = {}
        self._num_uses: dict[nn.Module, int] = {}

    def _count(self, module: nn.Module, output: Tensor) -> None:
        self._num_all += output.numel()
        if "activation_sparsity" in self._due:
            self._num_small = add(self._num_small, *counts_below(output, 0.1))
        if "zero_fraction" in self._due or "dead_units" in self._due:
            array = as_numpy(output)
            nonzero: Mask = output != 0 if array is None else array != 0
            self._num_zero = add(self._num_zero, output.numel() - _count(nonzero))
            if "dead_units" in self._due and output.dim():
                self._look_for_life(module, nonzero)

    def _look_for_life(self, module: nn.Module, nonzero: Mask) -> None:
        use = self._num_uses.get(module, 0)
        self._num_uses[module] = use + 1
        alive = alive_units(nonzero)
        before = self._alive.get((module, use))
        self._alive[module, use] = alive if before is None else before | alive


def alive_units(nonzero: Mask) -> Mask:
    """For each unit of an activation, whether at least one of its elements is not zero."""
    num_axes = len(nonzero.shape)
    unit_axis = 1 if num_axes >= 4 else num_axes - 1
    others = tuple(axis for axis in range(num_axes) if axis != unit_axis)
    if isinstance(nonzero, Tensor):
        return nonzero.any(dim=others) if others else nonzero
    return np.asarray(nonzero.any(axis=others))


def _count(mask: Mask) -> Count:
    """How many are true."""
    return mask.sum() if isinstance(mask, Tensor) else int(np.count_nonzero(mask))
