"""Pruning by magnitude, against numpy, on real models with the corners that weights have."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.support import Net
from trainguard.recipes import ConfigError, prune_by_magnitude


@pytest.mark.parametrize("threshold", [0.01, 0.1, 10.0])
def test_against_numpy(threshold: float) -> None:
    """Every weight matrix, element for element; biases and norms bit for bit as they were."""
    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        model.layers[4].weight[0, :3] = 0.0  # zero before: not pruned
    before = {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
    report = prune_by_magnitude(model, threshold)
    num_pruned = 0
    for name, value in model.named_parameters():
        old, new = before[name], value.detach().numpy()
        if old.ndim < 2:
            np.testing.assert_array_equal(new, old)
            continue
        np.testing.assert_array_equal(new, np.where(np.abs(old) < threshold, 0.0, old))
        [layer] = [layer for layer in report.layers if layer.name == name]
        counts = (old.size, np.count_nonzero(old), np.count_nonzero(new))
        assert (layer.num_elements, layer.nonzero_before, layer.nonzero_after) == counts
        num_pruned += np.count_nonzero(old) - np.count_nonzero(new)
    assert len(report.layers) == 2
    assert report.num_parameters == sum(value.size for value in before.values())
    assert report.num_pruned == num_pruned
    assert report.share_pruned == pytest.approx(num_pruned / report.num_parameters)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sizes_are_those_of_torchs_sparse_rows() -> None:
    """Values, column indices and row pointers of a CSR tensor; a weight that stays full stays dense."""
    model = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-1, 1, 1200).reshape(30, 40))
        model[1].weight.fill_(1.0)
    report = prune_by_magnitude(model, 0.8)
    rows = model[0].weight.detach().to_sparse_csr()
    csr_bytes = rows.values().numel() * 4 + rows.col_indices().numel() * 4 + rows.crow_indices().numel() * 4
    assert report.layers[0].sparse_bytes == csr_bytes < report.layers[0].dense_bytes == 1200 * 4
    assert report.layers[1].sparse_bytes == report.layers[1].dense_bytes == 600 * 4
    assert report.dense_bytes == (1200 + 30 + 600) * 4
    assert report.sparse_bytes == csr_bytes + (30 + 600) * 4


def test_the_metric_before_and_after() -> None:
    """From the user's own function, which sees the model as it is."""
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.001, 0.5, -0.002], [1.0, 0.009, 0.01]]))
    report = prune_by_magnitude(model, evaluate=lambda m: m.weight.detach().abs().sum().item())
    assert (report.metric_before, report.metric_after) == pytest.approx((1.522, 1.51))
    assert prune_by_magnitude(model).metric_after is None


def test_pruning_a_copy_keeps_the_model() -> None:
    """As the docstring says."""
    model = Net()
    before = copy.deepcopy(model.state_dict())
    assert prune_by_magnitude(copy.deepcopy(model), 0.1).num_pruned > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_every_precision(dtype: torch.dtype) -> None:
    """The comparison is not rounded to the weight's own precision: 0.01 is no bfloat16."""
    model = nn.Linear(4, 1, bias=False).to(dtype)
    just_above = torch.tensor(0.01).to(torch.bfloat16).item()  # 0.010009765625
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[just_above, -just_above, 0.0099, 1.0]]))
    prune_by_magnitude(model, 0.01001)
    assert torch.count_nonzero(model.weight).item() == 1
    assert model.weight.dtype == dtype


def test_not_a_number_is_not_small() -> None:
    """NaN and infinities stay, to be seen."""
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[float("nan"), float("inf"), 0.001]]))
    assert prune_by_magnitude(model).layers[0].nonzero_after == 2
    assert model.weight.isnan().sum() == 1


def test_shared_frozen_and_strange_parameters() -> None:
    """A shared weight counts once, a frozen one is pruned too, whole numbers and empty ones are left out."""
    model = nn.Module()
    model.a, model.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    model.b.weight = model.a.weight
    model.a.weight.requires_grad_(False)
    model.indices = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    model.empty = nn.Parameter(torch.ones(0, 3))
    report = prune_by_magnitude(model, 10.0)
    assert [(layer.name, layer.nonzero_after) for layer in report.layers] == [("a.weight", 0)]
    assert report.num_parameters == 16 + 4


def test_nothing_to_prune() -> None:
    """A model without parameters; a share of nothing is 0."""
    report = prune_by_magnitude(nn.ReLU())
    assert (report.num_parameters, report.share_pruned, report.layers) == (0, 0.0, ())
    assert "0 of 0 parameters" in str(report)


def test_the_report_reads_as_a_table() -> None:
    """A row a weight, the sum, and the metric."""
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.001, 0.5], [0.0, 2.0]]))
    assert str(prune_by_magnitude(model, evaluate=lambda _: 0.5)).splitlines() == [
        "weight      elements  not 0 before       after   pruned",
        "0.weight           4             3           2    25.0%",
        "|w| < 0.01: 1 of 6 parameters pruned (16.7%); 24 bytes dense, 24 sparse",
        "metric 0.5000 before, 0.5000 after",
    ]


@pytest.mark.parametrize("threshold", [0, -1.0, float("nan"), "small", None])
def test_wrong_threshold(threshold: Any) -> None:
    """Before anything is changed."""
    model = Net()
    with pytest.raises(ConfigError, match=r"threshold is .*, wanted a number above 0"):
        prune_by_magnitude(model, threshold)
    assert all(torch.count_nonzero(p) == p.numel() for name, p in model.named_parameters() if p.dim() >= 2)


def test_what_is_no_model() -> None:
    """It is named."""
    with pytest.raises(TypeError, match=r"^model is 'net' \(str\), wanted a torch\.nn\.Module$"):
        prune_by_magnitude("net")  # type: ignore[arg-type]
