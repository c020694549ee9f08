"""Signals of the features against their definitions over all pairs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.trainer import formulas
from tests.trainer.sensing import measure
from trainguard.faults import Faults
from trainguard.signals import features as module
from trainguard.signals.base import StepView
from trainguard.signals.features import Features, source_of


def values_of(features: torch.Tensor, targets: torch.Tensor | None = None, **options) -> dict[str, float]:
    """What is measured of these features, which a model puts out."""
    faults, module = Faults(), nn.Identity()
    sensor = Features(module, True, faults)
    values = measure(sensor, StepView(targets=targets), forward=lambda: module(features), **options)
    assert faults.counts == {}
    return values


@given(st.integers(2, 24), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_against_all_pairs(num_rows: int, num_features: int, num_classes: int, seed: int) -> None:
    """Any sizes: classes that are missing, of one row, and a single class included."""
    torch.manual_seed(seed)
    features, targets = torch.randn(num_rows, num_features), torch.randint(num_classes, (num_rows,))
    z, y = formulas.array(features), targets.numpy()
    values = values_of(features, targets)
    assert values["feature_utilization"] == pytest.approx(formulas.feature_utilization(z))
    if len(set(y.tolist())) > 1 and num_features > 1:
        assert values["class_separation_r2"] == pytest.approx(formulas.class_separation_r2(z, y), rel=1e-3, abs=1e-5)
    if np.bincount(y).max() > 1:
        assert values["class_separation"] == pytest.approx(formulas.class_separation(z, y), rel=1e-3, abs=1e-6)
    else:
        assert np.isnan(values["class_separation"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_types(dtype: torch.dtype) -> None:
    """Summed up in at least 32 bits."""
    torch.manual_seed(0)
    targets = torch.randint(3, (200,))
    features = (torch.randn(200, 8) + 2 * torch.randn(3, 8)[targets]).to(dtype)
    z, y = formulas.array(features), targets.numpy()
    assert values_of(features, targets) == pytest.approx(
        {
            "class_separation": formulas.class_separation(z, y),
            "class_separation_r2": formulas.class_separation_r2(z, y),
            "feature_utilization": formulas.feature_utilization(z),
            "effective_rank": formulas.effective_rank(z),
        },
        rel=1e-4,
    )


def test_class_separation_has_a_unit_and_r2_has_none() -> None:
    """Features that shrink to a hundredth look a hundred times better to the seed's; the cosine form sees no change."""
    torch.manual_seed(0)
    targets = torch.arange(30) % 3
    features = torch.randn(30, 4) + targets[:, None]
    large, small = values_of(features, targets), values_of(features / 100, targets)
    assert small["class_separation"] == pytest.approx(100 * large["class_separation"], rel=1e-4)
    assert small["class_separation_r2"] == pytest.approx(large["class_separation_r2"], rel=1e-4)
    assert (large["feature_utilization"], small["feature_utilization"]) == (1, 0)


def test_separation_at_its_ends() -> None:
    """Orthogonal classes are 1, one class is 0, opposite signs are the same direction."""
    targets = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
    assert values_of(apart, targets)["class_separation_r2"] == 1
    assert values_of(apart * torch.tensor([[1], [-1], [1], [-1]]), targets)["class_separation_r2"] == 1
    assert values_of(apart, torch.zeros(4, dtype=torch.long))["class_separation_r2"] == 0
    zeros = values_of(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), targets)
    assert zeros["class_separation_r2"] == pytest.approx(
        formulas.class_separation_r2(np.array([[0.0, 0], [1, 0], [0, 1], [0, 1]]), targets.numpy())
    )


def test_a_class_without_variance() -> None:
    """Equal rows are infinitely well separated; a class of one row says nothing; no class of two is NaN."""
    pairs = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 0.0], [5.0, 5.0]])
    assert values_of(pairs, torch.tensor([0, 0, 1, 1]))["class_separation"] == np.inf
    alone = values_of(pairs[1:], torch.tensor([0, 1, 1]))["class_separation"]
    assert alone == pytest.approx(formulas.class_separation(pairs[1:].numpy(), np.array([0, 1, 1])))
    assert np.isnan(values_of(pairs, torch.arange(4))["class_separation"])


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_features_that_have_collapsed_are_not_separated(value: float) -> None:
    """0, which a rule can compare, on the CPU and elsewhere."""
    features, targets = torch.full((8, 4), value), torch.arange(8) // 4
    assert values_of(features, targets)["class_separation"] == 0
    rows = module._anywhere(features, targets)
    assert module.class_separation(rows, rows.classes) == 0


def test_features_that_are_not_finite() -> None:
    """NaN where they enter; a feature with a NaN counts as unused."""
    features = torch.tensor([[1.0, float("nan")], [3.0, 1.0], [2.0, 5.0]])
    values = values_of(features, torch.tensor([0, 0, 0]))
    assert values["feature_utilization"] == 0.5
    assert np.isnan(values["class_separation"])
    assert np.isnan(values["class_separation_r2"])


def test_rows_to_ignore_do_not_count() -> None:
    """A negative target is an index to ignore, as in the padding of sequences."""
    torch.manual_seed(0)
    features, targets = torch.randn(2, 5, 4), torch.tensor([[0, 1, 1, 0, -100], [1, 0, 1, -100, -100]])
    real = targets.flatten() >= 0
    values = values_of(features, targets)
    assert values == pytest.approx(values_of(features.flatten(0, 1)[real], targets.flatten()[real]), rel=1e-5)


@pytest.mark.parametrize("filling", [None, np.nan, np.inf], ids=str)
def test_an_accelerator_has_the_same_values(filling: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows to ignore stay among the others: neither they nor what they hold may count."""
    torch.manual_seed(0)
    targets = torch.randint(4, (60,)) * 7
    features = torch.randn(60, 5) + targets[:, None] / 7
    targets[::5] = -100
    if filling is not None:
        features[::5] = filling
    here = values_of(features, targets)
    monkeypatch.setattr(module, "_on_the_cpu", module._anywhere)
    assert values_of(features, targets) == pytest.approx(here, rel=1e-5)
    nothing = values_of(features, torch.full((60,), -1))
    assert all(map(np.isnan, nothing.values()))


def test_many_rows_are_sampled() -> None:
    """Each s-th, with its target."""
    torch.manual_seed(0)
    targets = torch.randint(3, (20, 1000))
    features = torch.randn(20, 1000, 4) + targets[..., None]
    one_in_11 = features.flatten(0, 1)[::11], targets.flatten()[::11]
    assert values_of(features, targets) == pytest.approx(values_of(*one_in_11))


FREE = {"feature_utilization", "effective_rank"}


@pytest.mark.parametrize(
    ("shape", "targets", "expected"),
    [
        ((6, 3), None, FREE),
        ((6, 3), torch.rand(6), FREE),
        ((6, 3), torch.zeros(5, dtype=torch.long), FREE),
        ((6, 2, 2), torch.tensor([0, 1] * 3), FREE | {"class_separation", "class_separation_r2"}),
        ((1, 3), None, {"effective_rank"}),
        ((0, 3), torch.zeros(0, dtype=torch.long), set()),
        ((5,), None, FREE),
    ],
)
def test_shapes(shape: tuple[int, ...], targets: torch.Tensor | None, expected: set[str]) -> None:
    """What cannot be told from the targets at hand is left out."""
    assert set(values_of(torch.randn(shape), targets)) == expected


def test_where_the_features_are_found() -> None:
    """The input of the last Linear that is called; nothing is seen in evaluation, or without a forward pass."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.TransformerEncoderLayer(2, 1, 4))
    assert source_of(model) is model[3].linear2
    assert source_of(nn.MultiheadAttention(4, 2)) is None
    head = nn.Linear(3, 2)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), head)
    x, y = torch.randn(8, 4), torch.randint(2, (8,))
    sensor = Features(head, False, Faults())
    values = measure(sensor, StepView(targets=y), forward=lambda: model(x))
    assert values == pytest.approx(values_of(model[:2](x), y))
    assert not head._forward_pre_hooks
    assert measure(sensor, StepView(targets=y), forward=lambda: model.eval()(x)) == {}
    assert measure(sensor, StepView(targets=y)) == {}


def test_features_may_be_overwritten_by_the_next_layer() -> None:
    """An activation that works in place changes the output it was given."""
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    features = torch.randn(8, 3)
    kept = features.clone()
    values = measure(Features(model[0], True, Faults()), StepView(), forward=lambda: model(features))
    assert values["feature_utilization"] == formulas.feature_utilization(kept.numpy())
    assert not torch.equal(features, kept)
