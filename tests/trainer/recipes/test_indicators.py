"""The look at a batch, against numpy, and that it leaves no trace."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.support import NUM_CLASSES, NUM_FEATURES, Net
from trainguard.recipes import LargeLRConfig, robustness_indicators


def batch(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = 3 * torch.randn(n, NUM_FEATURES, generator=generator)
    return x, torch.randint(NUM_CLASSES, (n,), generator=generator)


@pytest.mark.parametrize(("small", "confident"), [(0.1, 0.9), (0.5, 0.4)])
def test_against_numpy(small: float, confident: float) -> None:
    """Every share from the logits and activations in float64, at the config's thresholds."""
    torch.manual_seed(1)
    model, (x, y) = Net(), batch()
    config = LargeLRConfig(sparsity_threshold=small, confidence_threshold=confident)
    found = robustness_indicators(model, x, y, config)

    model.eval()
    with torch.no_grad():
        activations = model.layers[:3](x).double().numpy()
        logits = model(x).double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sure, right = p.max(axis=1) > confident, p.argmax(axis=1) == y.numpy()
    assert found == pytest.approx(
        {
            "accuracy": right.mean(),
            "mean_confidence": p.max(axis=1).mean(),
            "confident_share": sure.mean(),
            "confident_mistakes": (sure & ~right).mean(),
            "activation_sparsity": (np.abs(activations) < small).mean(),
            "zero_fraction": (activations == 0).mean(),
        },
        rel=1e-5,
    )


def test_a_confident_mistake() -> None:
    """Wrong and sure, wrong and unsure, right and sure."""
    model = nn.Identity()
    logits = torch.tensor([[9.0, 0.0], [0.2, 0.0], [9.0, 0.0]])
    found = robustness_indicators(model, logits, torch.tensor([1, 1, 0]))
    assert found["confident_mistakes"] == pytest.approx(1 / 3)
    assert found["confident_share"] == pytest.approx(2 / 3)
    assert "activation_sparsity" not in found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_16_bits_are_compared_in_32(dtype: torch.dtype) -> None:
    """As by the guard: what is a little below the threshold, and the threshold in 16 bits, are told apart."""
    x = torch.tensor([[0.1, 1.0]]).to(dtype)
    found = robustness_indicators(nn.Sequential(nn.ReLU()), x, torch.tensor([1]))
    assert found["activation_sparsity"] == (0.5 if float(x[0, 0]) < 0.1 else 0.0)


def test_it_leaves_no_trace() -> None:
    """Modes of mixed models, buffers, gradients, hooks and random numbers are as before."""
    model, (x, y) = Net().train(), batch()
    model.layers[1].eval()
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    states = (torch.get_rng_state(), random.getstate())
    robustness_indicators(model, x, y)
    assert [m.training for m in model.layers] == [True, False, True, True, True]
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_model_that_raises_is_left_in_training() -> None:
    """And without hooks."""
    model = Net()
    with pytest.raises(RuntimeError):
        robustness_indicators(model, torch.ones(2, NUM_FEATURES + 1), torch.zeros(2, dtype=torch.long))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_not_a_number_is_not_confident() -> None:
    """One NaN row of two: the mean is NaN, the shares are of two."""
    logits = torch.tensor([[float("nan"), 0.0], [9.0, 0.0]])
    found = robustness_indicators(nn.Identity(), logits, torch.tensor([0, 0]))
    assert np.isnan(found["mean_confidence"])
    assert (found["confident_share"], found["confident_mistakes"]) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("logits", "targets"), [((4, 3, 2), (4,)), ((4, 3), (4, 1)), ((4, 3), (3,)), ((4,), (4,)), ((0, 3), (0,))]
)
def test_wrong_shapes(logits: Any, targets: Any) -> None:
    """Named."""
    with pytest.raises(ValueError, match=r"logits and targets have the shapes .*, wanted N x K and N"):
        robustness_indicators(nn.Identity(), torch.zeros(logits), torch.zeros(targets, dtype=torch.long))
