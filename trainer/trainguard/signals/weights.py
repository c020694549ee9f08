"""Signals of the parameters: how large they are, how many of them are small, how far the step moved them.

All look at the parameters that train, ``requires_grad``, all tensors as one vector w of d elements, after the
optimizer's step. Frozen ones would drown the others and never change.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trainguard.parameters import Parameters
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import Count, add, array_below, as_numpy, counts_below, pieces
from trainguard.signals.norms import norms
from trainguard.signals.sampling import sample_of, sample_of_all, stride_for

KAPPA = 0.1


class Weights(Sensor):
    """The size of the weights and how much of it lies in few of them. No value where nothing trains.

    ``param_norm``: ||w||_2.
    ``compressibility``: share with |w| < 0.1, the seed's "compressibility ratio". An absolute threshold: the
    default initialization of a Linear of 100 inputs or more has all of its weights there.
    ``prunable_fraction``: share with |w| < 0.01, below which the seed prunes.
    ``kappa_compressibility``: 1 - ||w - top(w)||_2 / ||w||_2, where top keeps the ceil(kappa d) largest in absolute
    value, kappa = 0.1 (github.com/mbarsbey/advcomp, C_kappa with q = 2). Of more than 65,536 weights, from a
    regular sample of so many.
    ``pq_index``: 1 - d^(1/q - 1/p) ||w||_p / ||w||_q with p = 1, q = 2 (Diao et al., arXiv 2302.05601).

    A NaN among the weights makes ``param_norm``, ``kappa_compressibility`` and ``pq_index`` NaN; it is not small.
    Weights that are all zero have no kappa_compressibility and no pq_index: NaN.
    """

    name = "weights"
    signals = every(param_norm=100, compressibility=100, prunable_fraction=100, kappa_compressibility=100, pq_index=100)
    sample_limit = 1 << 16

    def __init__(self, model: nn.Module) -> None:
        self._parameters = Parameters(model)

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        weights = trained(self._parameters)
        size = sum(weight.numel() for weight in weights)
        if not size:
            return {}
        census = _census_on_host(weights) or _census(weights)
        values: dict[str, Value] = {
            "param_norm": census.norm,
            "compressibility": census.small / size,
            "prunable_fraction": census.tiny / size,
        }
        if "pq_index" in due:
            values["pq_index"] = 1.0 - census.sum_over_norm / math.sqrt(size)
        if "kappa_compressibility" in due:
            sizes = [weight.abs() if weight.is_complex() else weight for weight in weights]
            values["kappa_compressibility"] = kappa_compressibility(sample_of_all(sizes, self.sample_limit))
        return values


class UpdateRatio(Sensor):
    """``update_ratio``: ||w_after - w_before||_2 / ||w_before||_2 of the step. No value where nothing trains.

    Needs a copy of the parameters from before the step. Of a tensor of more than a million elements it takes a
    regular sample of so many, which stands for the whole tensor in both norms.
    NaN or infinite as the parameters are, and where all of them are zero.
    """

    name = "update_ratio"
    signals = every(update_ratio=100)
    sample_limit = 1 << 20

    def __init__(self, model: nn.Module) -> None:
        self._parameters = Parameters(model)
        self._weights: list[Tensor] = []
        self._copies: list[Tensor] = []

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        self._weights = [weight for weight in trained(self._parameters) if weight.numel()]
        self._copies = [
            sample.to(torch.promote_types(sample.dtype, torch.float32), copy=True) for sample in self._samples()
        ]
        return {}

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if not self._copies:
            return {}
        updates = [now - before for now, before in zip(self._samples(), self._copies, strict=True)]
        strides = [stride_for(weight.numel(), self.sample_limit) for weight in self._weights]
        size = norms(self._copies)
        scale = torch.tensor(strides, dtype=size.dtype).sqrt().to(size.device, non_blocking=True)
        moved = torch.linalg.vector_norm(norms(updates) * scale)
        return {"update_ratio": moved / torch.linalg.vector_norm(size * scale)}

    def disarm(self) -> None:
        self._weights, self._copies = [], []

    def _samples(self) -> list[Tensor]:
        return [sample_of(weight, self.sample_limit) for weight in self._weights]


def trained(parameters: Parameters) -> list[Tensor]:
    """Those that train, each once."""
    return [parameter for parameter in parameters.now() if parameter.requires_grad]


class _Census(NamedTuple):
    """Of all weights: how many are below 0.1 and 0.01 in absolute value, their L2 norm, and L1 norm over L2 norm."""

    small: Count
    tiny: Count
    norm: float | Tensor
    sum_over_norm: float | Tensor


def _census(weights: list[Tensor]) -> _Census:
    small: Count = 0
    tiny: Count = 0
    for weight in weights:
        below = counts_below(weight, *_BELOW)
        small, tiny = add(small, below[0]), add(tiny, below[1])
    norm = torch.linalg.vector_norm(norms(weights))
    return _Census(small, tiny, norm, norms(weights, 1.0).sum() / norm)


def _census_on_host(weights: list[Tensor]) -> _Census | None:
    """By numpy, looking at each absolute value once; None where it cannot read them."""
    small = tiny = 0
    total = squares = 0.0
    for weight in weights:
        for piece in pieces(weight):
            array = as_numpy(piece)
            if array is None:
                return None
            sizes = np.abs(array).reshape(-1)
            below = array_below(sizes, _BELOW)
            small, tiny = small + below[0], tiny + below[1]
            with np.errstate(over="ignore", invalid="ignore"):
                total, squares = total + float(sizes.sum()), squares + float(sizes @ sizes)
    norm = math.sqrt(squares)
    return _Census(small, tiny, norm, total / norm if norm else math.nan)


_BELOW = (0.1, 0.01)


def kappa_compressibility(weights: Tensor, kappa: float = KAPPA) -> Value:
    """1 - ||w - top(w)||_2 / ||w||_2 of a vector, where top keeps the ceil(kappa d) largest in absolute value."""
    num_rest = weights.numel() - math.ceil(kappa * weights.numel())
    array = as_numpy(weights)
    if array is None:
        ascending = weights.abs().sort().values
        kept: Tensor = 1.0 - torch.linalg.vector_norm(ascending[:num_rest]) / torch.linalg.vector_norm(ascending)
        return kept
    small_first = np.partition(np.abs(array), num_rest)
    rest, largest = small_first[:num_rest], small_first[num_rest:]
    with np.errstate(over="ignore", invalid="ignore"):
        of_rest, of_largest = float(rest @ rest), float(largest @ largest)
    of_all = of_rest + of_largest
    return 1.0 - math.sqrt(of_rest / of_all) if of_all else math.nan
