"""Signals of the gradients against their formulas."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer import formulas
from tests.trainer.sensing import measure
from trainguard.signals.base import StepView
from trainguard.signals.gradients import Gradients, Layers, largest
from trainguard.signals.moments import RmsRatio
from trainguard.signals.norms import GradNorms, grad_norms, grads_of
from trainguard.updating.clipping import clip_grads_

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
NAN, INF = float("nan"), float("inf")


def with_gradients(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> nn.ParameterList:
    model = nn.ParameterList([nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes])
    for parameter in model:
        parameter.grad = torch.randn_like(parameter)
    return model


def norm_of(model: nn.Module) -> float:
    squares = [np.square(formulas.array(g.to_dense())).sum() for g in grads_of(model.parameters())]
    return math.sqrt(sum(squares))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_grad_norm(dtype: torch.dtype) -> None:
    """Over the parameters that have a gradient; 16 bits are summed up in 32, and do not overflow."""
    torch.manual_seed(0)
    model = with_gradients((4, 5), (6,), (), (2, 3, 4), dtype=dtype)
    model[1].grad = None
    model[0].grad *= 3e4
    assert measure(Gradients(model)) == pytest.approx({"grad_norm": norm_of(model), "nonfinite": 0}, rel=1e-6)


def test_grad_norm_of_mixed_gradients() -> None:
    """Types and layouts side by side; the parts of a sparse gradient that overlap count as their sum."""
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Embedding(9, 3, sparse=True), nn.Linear(3, 2).double(), nn.Linear(3, 2).bfloat16()])
    model[0](torch.tensor([1, 1, 4])).square().sum().backward()
    for layer in model[1:]:
        layer(torch.randn(5, 3, dtype=layer.weight.dtype)).sum().backward()
    assert not model[0].weight.grad.is_coalesced()
    assert measure(Gradients(model)) == pytest.approx({"grad_norm": norm_of(model), "nonfinite": 0}, rel=1e-6)
    model[0].weight.grad = torch.sparse_coo_tensor([[2]], [[NAN, 1.0, INF]], (9, 3), check_invariants=True)
    values = measure(Gradients(model))
    assert math.isnan(values["grad_norm"])
    assert values["nonfinite"] == 2


def test_nonfinite_counts_elements() -> None:
    """A norm that overflows while all elements are finite counts none; no gradients, no values."""
    model = with_gradients((3, 3), (4,))
    model[0].grad[0, :2] = torch.tensor([NAN, -INF])
    model[1].grad[3] = INF
    assert measure(Gradients(model))["nonfinite"] == 3
    huge = with_gradients((3, 3))
    huge[0].grad *= 1e38
    assert measure(Gradients(huge)) == {"grad_norm": INF, "nonfinite": 0}
    assert measure(Gradients(nn.Linear(2, 2))) == {}


def test_norms_of_clipping_are_reused() -> None:
    """What the loop clipped through the guard is not measured again: it is something else by now."""
    view = StepView(norms=grad_norms([torch.full((2,), 3.0)]))
    assert measure(Gradients(with_gradients((3, 3))), view)["grad_norm"] == pytest.approx(math.sqrt(18))


def layers_of(model: nn.Module, view: StepView) -> dict[str, float] | None:
    found: Any = Layers(model).before_step(view, {"layers"}).get("layers")
    return None if found is None else dict(zip(found.names, found.norms.tolist(), strict=True))


def test_layers() -> None:
    """Those that have a gradient, by name; before clipping, where that left the norms; else as they are."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert layers_of(model, StepView()) is None
    model(torch.ones(1, 2)).sum().backward()
    model[0].bias.grad = None
    before = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    view = StepView(norms=clip_grads_(list(model.parameters()), 1e-3)[1])
    assert layers_of(model, StepView()) == pytest.approx(
        {name: float(model.get_parameter(name).grad.norm()) for name in ["0.weight", "1.weight", "1.bias"]}
    )
    assert layers_of(model, view) == pytest.approx(before)
    assert layers_of(torch.compile(model, backend="eager"), view) == pytest.approx(before)
    assert layers_of(model, StepView(norms=GradNorms(torch.ones(()), None))) is None
    model[1].bias.grad = None
    assert layers_of(model, view) is None, "whose norms these are is not known any more"


def test_largest_layers() -> None:
    """Largest first; what is not finite comes before all others."""
    assert list(largest("abcd", [1.0, 4.0, 2.0, 3.0], 3).items()) == [("b", 4.0), ("d", 3.0), ("c", 2.0)]
    assert list(largest("abcd", [1.0, NAN, 2.0, INF])) == ["b", "d", "c", "a"]
    assert len(largest("abcdefghijkl", range(12))) == 8


@pytest.mark.parametrize("steps", [list(range(1, 30)), [10, 20, 30, 70], [100, 200, 300]], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_ratio(dtype: torch.dtype, steps: list[int]) -> None:
    """At any cadence; matrices only, where there are some."""
    torch.manual_seed(0)
    model = with_gradients((5, 4), (30,), (2, 3, 3), dtype=dtype)
    sensor, gradients, ratios = RmsRatio(model), [], []
    for step in steps:
        for parameter in model:
            parameter.grad = torch.randn_like(parameter) * step
        gradients.append([formulas.array(model[0].grad), formulas.array(model[2].grad)])
        ratios.append(measure(sensor, StepView(step=step))["rms_ratio"])
    assert ratios == pytest.approx(formulas.rms_ratios(gradients, steps), rel=1e-4)
    assert ratios[0] == pytest.approx(1)


@pytest.mark.parametrize("every", [1, 10, 100])
def test_rms_ratio_begins_at_any_step(every: int) -> None:
    """In a resumed run, and where parameters begin to train, as in a run that starts there."""
    runs = []
    for start in (0, 5000, 10**6):
        torch.manual_seed(0)
        model = with_gradients((30, 20))
        sensor, ratios = RmsRatio(model), []
        for number in range(1, 8):
            model[0].grad.normal_()
            ratios.append(measure(sensor, StepView(step=start + every * number))["rms_ratio"])
        runs.append(ratios)
    assert runs[0] == pytest.approx([1.0] * 7, abs=0.2)
    assert runs[1:] == [pytest.approx(runs[0], rel=1e-5)] * 2


def test_rms_ratio_of_complex_gradients() -> None:
    """Two numbers for each, as Adam has it; one that is missing counts as zeros."""
    torch.manual_seed(0)
    model = nn.ParameterList([torch.zeros(3, 4, dtype=torch.complex64)])
    real = nn.ParameterList([torch.zeros(3, 4, 2)])
    sensors = RmsRatio(model), RmsRatio(real)
    for step in (1, 2, 3, 4):
        model[0].grad = None if step == 3 else torch.randn(3, 4, dtype=torch.complex64) * step
        real[0].grad = None if step == 3 else torch.view_as_real(model[0].grad)
        ratio, expected = (measure(sensor, StepView(step=step)) for sensor in sensors)
        assert ratio == expected
        assert (ratio["rms_ratio"] > 0.9) == (step != 3)


def test_rms_ratio_sees_a_gradient_that_outgrows_its_past() -> None:
    """Near 1 while nothing changes; a single tensor, ten times larger, stands out; it is bounded by the decay."""
    torch.manual_seed(0)
    model, sensor, ratios = with_gradients((200, 100), (50, 50)), None, []
    sensor = RmsRatio(model)
    for step in range(1, 60):
        for parameter in model:
            parameter.grad.normal_()
        if step == 59:
            model[1].grad *= 10
        ratios.append(measure(sensor, StepView(step=step))["rms_ratio"])
    assert ratios[5:58] == pytest.approx([1.0] * 53, abs=0.15)
    assert 2.3 < ratios[58] < 32


def test_rms_ratio_of_gradients_that_are_missing_zero_or_not_finite() -> None:
    """None, sparse and zero add nothing; NaN shows, and is not learned."""
    model = with_gradients((3, 4), (2, 2))
    sensor = RmsRatio(model)
    model[1].grad = None
    assert measure(sensor)["rms_ratio"] == pytest.approx(1)
    model[0].grad = torch.zeros(3, 4).to_sparse()
    assert measure(sensor, StepView(step=2))["rms_ratio"] == 0
    model[0].grad = torch.ones(3, 4)
    before = measure(sensor, StepView(step=3))["rms_ratio"]
    model[0].grad[0, 0] = NAN
    assert math.isnan(measure(sensor, StepView(step=4))["rms_ratio"])
    model[0].grad[0, 0] = 1e30
    assert measure(sensor, StepView(step=5))["rms_ratio"] == INF
    model[0].grad = torch.ones(3, 4)
    assert measure(sensor, StepView(step=6))["rms_ratio"] == pytest.approx(before, rel=0.3)
    model[1].requires_grad_(False)
    assert measure(sensor, StepView(step=7))["rms_ratio"] == pytest.approx(1)


def test_rms_ratio_of_vectors_only_and_of_nothing() -> None:
    """Where no parameter has two axes, all are looked at."""
    model = with_gradients((7,), ())
    assert measure(RmsRatio(model))["rms_ratio"] == pytest.approx(1)
    assert measure(RmsRatio(model.requires_grad_(False))) == {}


def test_rms_ratio_of_large_tensors_comes_from_a_sample() -> None:
    """Which is regular, so that it sees each element again; and close to that of all."""
    torch.manual_seed(0)
    model = with_gradients((300, 500))
    sensor, gradients, ratio = RmsRatio(model), [], NAN
    for step in (1, 2, 3):
        model[0].grad.normal_().mul_(step)
        gradients.append([formulas.array(model[0].grad)])
        ratio = measure(sensor, StepView(step=step))["rms_ratio"]
    assert ratio == pytest.approx(formulas.rms_ratios(gradients, [1, 2, 3])[-1], rel=0.03)
