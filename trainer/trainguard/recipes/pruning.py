"""Pruning by magnitude: set small weights to zero, and say what that did.

How many weights are small depends on how the network was initialized and scaled, so a share by itself says little:
the metric before and after, from ``evaluate``, is what counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainguard.arguments import check_kind
from trainguard.recipes.config import checked
from trainguard.recipes.fields import ABOVE_0

_INDEX_BYTES = 4


@dataclass(frozen=True)
class LayerPruning:
    """One weight: how many elements, how many of them not zero before and after, and its bytes.

    ``sparse_bytes`` is the pruned weight as compressed sparse rows with 32-bit indices, a row per first axis, or
    dense where that is smaller.
    """

    name: str
    num_elements: int
    nonzero_before: int
    nonzero_after: int
    dense_bytes: int
    sparse_bytes: int


@dataclass(frozen=True)
class PruneReport:
    """What pruning did. Prints as a table.

    ``num_parameters`` and both sizes count all parameters of the model, those left alone included; buffers do not.
    """

    threshold: float
    layers: tuple[LayerPruning, ...]
    num_parameters: int
    dense_bytes: int
    sparse_bytes: int
    metric_before: float | None = None
    metric_after: float | None = None

    @property
    def num_pruned(self) -> int:
        """Weights that were not zero before and are now."""
        return sum(layer.nonzero_before - layer.nonzero_after for layer in self.layers)

    @property
    def share_pruned(self) -> float:
        """`num_pruned` over ``num_parameters``; 0 for a model without parameters."""
        return self.num_pruned / self.num_parameters if self.num_parameters else 0.0

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [len("weight")])
        lines = [f"{'weight':<{width}}  {'elements':>10}  {'not 0 before':>12}  {'after':>10}  {'pruned':>7}"]
        for layer in self.layers:
            share = (layer.nonzero_before - layer.nonzero_after) / layer.num_elements
            lines.append(
                f"{layer.name:<{width}}  {layer.num_elements:>10,}  {layer.nonzero_before:>12,}  "
                f"{layer.nonzero_after:>10,}  {share:>7.1%}"
            )
        lines.append(
            f"|w| < {self.threshold:g}: {self.num_pruned:,} of {self.num_parameters:,} parameters pruned "
            f"({self.share_pruned:.1%}); {self.dense_bytes:,} bytes dense, {self.sparse_bytes:,} sparse"
        )
        if self.metric_before is not None and self.metric_after is not None:
            lines.append(f"metric {self.metric_before:.4f} before, {self.metric_after:.4f} after")
        return "\n".join(lines)


def prune_by_magnitude(
    model: nn.Module, threshold: float = 0.01, *, evaluate: Callable[[nn.Module], float] | None = None
) -> PruneReport:
    """Set every weight with |w| < ``threshold`` to zero, in place. To keep the model, prune a ``copy.deepcopy``.

    Weights are the floating-point parameters with two axes or more; biases and the scales of norms, which are few
    and seldom near zero without a meaning, are left alone. A weight that several modules share counts once. NaN is
    not below the threshold. ``evaluate`` is called with the model before and after, for any number that tells how
    good it is. Training further lets pruned weights grow again.

    Raises `ConfigError` for a threshold that is no number above 0, and TypeError for what is no module.
    """
    check_kind("model", model, nn.Module, "a torch.nn.Module")
    threshold = checked("threshold", threshold, ABOVE_0)
    metric_before = None if evaluate is None else float(evaluate(model))
    layers = tuple(_prune(name, weight, threshold) for name, weight in _weights(model))
    parameters = list(model.parameters())
    dense_bytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    return PruneReport(
        threshold=threshold,
        layers=layers,
        num_parameters=sum(parameter.numel() for parameter in parameters),
        dense_bytes=dense_bytes,
        sparse_bytes=dense_bytes - sum(layer.dense_bytes - layer.sparse_bytes for layer in layers),
        metric_before=metric_before,
        metric_after=None if evaluate is None else float(evaluate(model)),
    )


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and parameter.numel() and parameter.is_floating_point():
            yield name, parameter


@torch.no_grad()
def _prune(name: str, weight: Tensor, threshold: float) -> LayerPruning:
    before = int(torch.count_nonzero(weight))
    weight.masked_fill_(weight.abs().to(torch.promote_types(weight.dtype, torch.float32)) < threshold, 0.0)
    after = int(torch.count_nonzero(weight))
    dense_bytes = weight.numel() * weight.element_size()
    rows = after * (weight.element_size() + _INDEX_BYTES) + (weight.shape[0] + 1) * _INDEX_BYTES
    return LayerPruning(name, weight.numel(), before, after, dense_bytes, min(dense_bytes, rows))
