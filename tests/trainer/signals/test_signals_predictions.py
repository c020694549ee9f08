"""Signals of loss and logits against their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer import formulas
from tests.trainer.sensing import measure
from trainguard.signals.base import StepView
from trainguard.signals.predictions import BiasConflict, Predictions

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
NAN = float("nan")


def predictions(logits: torch.Tensor | None, targets: torch.Tensor | None = None) -> dict[str, float]:
    return measure(Predictions(), StepView(logits=logits, targets=targets))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(st.integers(1, 40), st.integers(2, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_predictions(dtype: torch.dtype, num_rows: int, num_classes: int, seed: int) -> None:
    """Any number of rows and classes; 16 bits are not summed up in 16 bits."""
    torch.manual_seed(seed)
    logits = (torch.randn(num_rows, num_classes) * 3).to(dtype)
    rows = formulas.array(logits)
    confidence = formulas.confidence(rows)
    assert predictions(logits) == pytest.approx(
        {
            "confidence": confidence,
            "confidence_normalized": (confidence - 1 / num_classes) / (1 - 1 / num_classes),
            "prediction_entropy": formulas.prediction_entropy(rows),
        },
        rel=1e-5,
        abs=1e-6,
    )


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_chance_is_zero_whatever_the_classes(num_classes: int) -> None:
    """Why a threshold on the seed's confidence depends on K: chance is 1/K, and for two classes never below 1/2."""
    values = predictions(torch.zeros(4, num_classes))
    assert values["confidence"] == pytest.approx(1 / num_classes)
    assert values["confidence_normalized"] == pytest.approx(0, abs=1e-6)
    certain = predictions(torch.eye(num_classes)[:8] * 1e4)
    assert certain["confidence"] == certain["confidence_normalized"] == 1


def test_prediction_entropy_at_its_ends() -> None:
    """One class is 0, even is 1."""
    assert predictions(torch.tensor([[9.0, 0.0]] * 4))["prediction_entropy"] == 0
    assert predictions(torch.eye(3))["prediction_entropy"] == pytest.approx(1)


def test_logits_that_are_not_finite() -> None:
    """NaN is NaN rather than collapse; plus infinity has no softmax; minus infinity rules a class out."""
    values = predictions(torch.tensor([[0.0, NAN], [1.0, 2.0]]))
    assert all(np.isnan(value) for value in values.values())
    values = predictions(torch.tensor([[0.0, np.inf], [1.0, 2.0]]))
    assert np.isnan(values["confidence"])
    assert values["prediction_entropy"] == 0
    assert predictions(torch.tensor([[0.0, -np.inf]]))["confidence"] == 1


def test_where_the_classes_are() -> None:
    """Axis 1 where the targets say so, the last axis else; fewer than two classes have no distribution."""
    logits = torch.randn(2, 5, 3, 4)
    rows = formulas.array(logits.movedim(1, -1)).reshape(-1, 5)
    values = predictions(logits, torch.zeros(2, 3, 4))
    assert values["confidence"] == pytest.approx(formulas.confidence(rows))
    assert values["prediction_entropy"] == pytest.approx(formulas.prediction_entropy(rows))
    assert predictions(logits.movedim(1, -1), torch.zeros(2, 3, 4)) == pytest.approx(values)
    for nothing in (None, torch.randn(4, 1), torch.randn(4), torch.randn(0, 3)):
        assert predictions(nothing) == {}


def test_large_logits_are_sampled_along_their_longest_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to that of all; no copy of all is made."""
    torch.manual_seed(0)
    sequences = torch.randn(2, 900, 7) * torch.linspace(0.5, 3, 900)[:, None]
    exact = predictions(sequences)
    monkeypatch.setattr(Predictions, "sample_limit", 3000)
    assert predictions(sequences) == pytest.approx(exact, rel=0.05)
    sampled = pytest.approx(predictions(sequences[:, ::11]), rel=1e-5)
    assert predictions(sequences) == sampled
    assert predictions(sequences.movedim(-1, 1), torch.zeros(2, 900)) == sampled


def share(logits: torch.Tensor, targets: torch.Tensor, groups: torch.Tensor) -> float:
    values = measure(BiasConflict(), StepView(logits=logits, targets=targets, groups=groups))
    return values["bias_conflict_loss_share"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("num_classes", [2, 5])
def test_bias_conflict_loss_share(num_classes: int, dtype: torch.dtype) -> None:
    """Of the cross-entropy, which sample contributed what."""
    torch.manual_seed(0)
    logits = torch.randn(50, num_classes).to(dtype)
    targets, groups = torch.randint(num_classes, (50,)), torch.randint(num_classes, (50,))
    expected = formulas.bias_conflict_loss_share(formulas.array(logits), targets.numpy(), groups.numpy())
    assert share(logits, targets, groups) == pytest.approx(expected, rel=1e-5)
    plain = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    assert expected == pytest.approx(float(plain[targets != groups].sum() / plain.sum()), rel=1e-5)


def test_bias_conflict_loss_share_at_its_ends() -> None:
    """No conflicting sample is 0, none but conflicting ones is 1; a confident mistake on one outweighs the rest."""
    logits, targets = torch.randn(6, 3), torch.arange(6) % 3
    assert share(logits, targets, targets) == 0
    assert share(logits, targets, (targets + 1) % 3) == 1
    logits = torch.tensor([[5.0, 0.0]] * 10)
    targets, groups = torch.tensor([0] * 9 + [1]), torch.zeros(10, dtype=torch.long)
    assert share(logits, targets, groups) > 0.98


def test_targets_that_are_no_class_count_for_nothing() -> None:
    """An index to ignore may be any; on an accelerator it must not reach an indexing kernel, which would abort."""
    logits, targets, groups = torch.randn(6, 3), torch.tensor([0, 1, -100, -1, 2, 7]), torch.tensor([1, 1, 0, 0, 0, 0])
    real = [0, 1, 4]
    assert share(logits, targets, groups) == pytest.approx(share(logits[real], targets[real], groups[real]))
    assert np.isnan(share(logits, torch.full((6,), -100), groups))


def test_what_bias_conflict_needs() -> None:
    """Logits, classes and groups of one shape; soft targets are no classes."""
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    for view in (
        StepView(targets=targets, groups=targets),
        StepView(logits=logits, groups=targets),
        StepView(logits=logits, targets=targets),
        StepView(logits=logits, targets=torch.rand(4), groups=targets),
    ):
        assert measure(BiasConflict(), view) == {}
    with pytest.raises(ValueError, match=r"groups have shape \(3,\), targets \(4,\) and logits \(4, 3\)"):
        share(logits, targets, targets[:3])
