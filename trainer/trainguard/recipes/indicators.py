"""What a batch that was not trained on says about robustness and sparsity, at the recipe's thresholds.

The guard measures training batches, step by step. This is one look at a finished model, or at one between two epochs.
Confident mistakes are what large learning rates are said to work through: wrong predictions on the samples that
contradict a spurious attribute, made with confidence. Hand in such samples alone to see them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainguard.recipes.config import LargeLRConfig
from trainguard.signals.activations import activations_of
from trainguard.signals.counting import counts_below


@torch.no_grad()
def robustness_indicators(
    model: nn.Module, x: Tensor, targets: Tensor, config: LargeLRConfig | None = None
) -> dict[str, float]:
    """Run ``model`` on ``x`` in evaluation mode, and give, each a share between 0 and 1:

    - ``accuracy``: predictions that are right;
    - ``mean_confidence``: mean of the largest softmax probability;
    - ``confident_share``: predictions above ``confidence_threshold``. With label smoothing s and K classes the best
      confidence is 1 - s + s / K: at s = 0.1 a threshold of 0.9 is just below it;
    - ``confident_mistakes``: predictions that are wrong and above it;
    - ``activation_sparsity``: activations with |a| < ``sparsity_threshold``; ``zero_fraction``: exactly 0. Both over
      all activation modules of torch.nn in the model, and left out where there are none.

    ``model(x)`` gives logits N x K, ``targets`` are N class indices. The model is left in the mode it was in, and no
    random number is drawn. NaN where a logit is NaN makes ``mean_confidence`` NaN; such a prediction is never
    confident. Raises ValueError for other shapes.
    """
    config = config or LargeLRConfig()
    with _evaluating(model), _Activations(model, config.sparsity_threshold) as activations:
        logits = model(x)
    if logits.dim() != 2 or targets.shape != logits.shape[:1] or not logits.numel():
        shapes = f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"logits and targets have the shapes {shapes}, wanted N x K and N, N and K at least 1")
    confidence, predicted = torch.softmax(logits.float(), dim=-1).max(dim=-1)
    confident, right = confidence > config.confidence_threshold, predicted == targets
    shares = {
        "accuracy": right,
        "mean_confidence": confidence,
        "confident_share": confident,
        "confident_mistakes": confident & ~right,
    }
    num_samples = len(targets)
    return {**{name: float(values.sum()) / num_samples for name, values in shares.items()}, **activations.shares()}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class _Activations:
    """Counts the small and the zero activations of all forward passes while it is entered."""

    def __init__(self, model: nn.Module, threshold: float) -> None:
        self._modules = activations_of(model)
        self._threshold = threshold
        self._num_all = self._num_small = self._num_zero = 0

    def __enter__(self) -> "_Activations":
        self._hooks = [module.register_forward_hook(self._count) for module in self._modules]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._num_all += output.numel()
        self._num_small += int(counts_below(output, self._threshold)[0])
        self._num_zero += int((output == 0).sum())

    def shares(self) -> dict[str, float]:
        if not self._num_all:
            return {}
        return {
            "activation_sparsity": self._num_small / self._num_all,
            "zero_fraction": self._num_zero / self._num_all,
        }
