"""Signals of the parameters against their formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer import formulas
from tests.trainer.sensing import measure
from trainguard.signals.sampling import sample_of, sample_of_all, stride_for
from trainguard.signals.weights import UpdateRatio, Weights

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def model_of(*tensors: torch.Tensor) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(tensor) for tensor in tensors])


def as_vector(model: nn.Module) -> np.ndarray:
    return np.concatenate([formulas.array(p).ravel() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_weights(seed: int, dtype: torch.dtype) -> None:
    """Every share and norm of a few tensors, as of one vector; a frozen one is left out, a shared one counts once."""
    torch.manual_seed(seed)
    model = model_of(torch.randn(7, 5) * 0.1, torch.randn(11) * 0.02, torch.zeros(3), torch.randn(2, 3, 4))
    model.to(dtype)
    model[3].requires_grad_(False)
    model.append(model[0])
    w = as_vector(nn.ParameterList(model[:3]))
    assert measure(Weights(model)) == pytest.approx(
        {
            "param_norm": np.linalg.norm(w),
            "compressibility": np.mean(np.abs(w) < 0.1),
            "prunable_fraction": np.mean(np.abs(w) < 0.01),
            "kappa_compressibility": formulas.kappa_compressibility(w),
            "pq_index": formulas.pq_index(w),
        },
        rel=2e-6,
    )


def test_mixed_types_and_layouts() -> None:
    """Each tensor as it is: no type is the wrong one, and a transposed weight is the same weights."""
    model = model_of(torch.randn(4, 6).t(), torch.randn(9).bfloat16(), torch.randn(3).double(), torch.randn(0, 2))
    w = as_vector(model)
    values = measure(Weights(model))
    assert values["param_norm"] == pytest.approx(np.linalg.norm(w), rel=1e-6)
    assert values["pq_index"] == pytest.approx(formulas.pq_index(w), rel=1e-5)
    assert values["kappa_compressibility"] == pytest.approx(formulas.kappa_compressibility(w), rel=1e-5)


@pytest.mark.parametrize(
    ("draw", "pq_index", "kappa_compressibility"),
    [
        (lambda n: torch.rand(n) * 2 - 1, 0.134, 1 - math.sqrt(0.9**3)),
        (torch.randn, 0.202, 0.251),
        (lambda n: torch.distributions.Laplace(0.0, 1.0).sample((n,)), 0.293, 0.364),
        (lambda n: torch.distributions.StudentT(torch.tensor(3.0)).sample((n,)), 0.363, None),
    ],
    ids=["uniform", "normal", "Laplace", "Student t"],
)
def test_sparsity_of_known_distributions(draw, pq_index: float, kappa_compressibility: float | None) -> None:
    """Both grow as the tails do, whatever the scale."""
    torch.manual_seed(0)
    weights = draw(1_000_000)
    small, large = (measure(Weights(model_of(weights * scale))) for scale in (1e-3, 1e3))
    assert small["pq_index"] == pytest.approx(pq_index, abs=2e-3 if pq_index < 0.3 else 2e-2)
    assert large["pq_index"] == pytest.approx(small["pq_index"], rel=1e-3)
    assert large["kappa_compressibility"] == pytest.approx(small["kappa_compressibility"], rel=1e-3)
    if kappa_compressibility is not None:
        assert small["kappa_compressibility"] == pytest.approx(kappa_compressibility, rel=0.02)


@pytest.mark.parametrize(("fan_in", "share"), [(40, 0.63), (64, 0.80), (100, 1.0), (784, 1.0)])
def test_the_seeds_compressibility_is_met_before_training(fan_in: int, share: float) -> None:
    """torch draws the weights of a Linear from +-1/sqrt(fan_in): why a threshold on this signal says little."""
    torch.manual_seed(0)
    value = measure(Weights(nn.Linear(fan_in, 3000)), due={"compressibility"})["compressibility"]
    assert value == pytest.approx(share, abs=0.01)


def test_kappa_compressibility_at_its_ends() -> None:
    """Equal weights lose sqrt(1 - kappa) of their norm; a single large one keeps it all."""
    kappa = "kappa_compressibility"
    assert measure(Weights(model_of(torch.ones(100))), due={kappa}) == pytest.approx({kappa: 1 - np.sqrt(0.9)})
    single = torch.zeros(100)
    single[17] = -3
    assert measure(Weights(model_of(single)), due={kappa})[kappa] == 1.0


def test_kappa_compressibility_of_many_weights_comes_from_a_sample() -> None:
    """Close to that of all, though the sample is a twentieth, and small tensors do not weigh more in it."""
    torch.manual_seed(0)
    layers = [torch.randn(256, 512), torch.ones(512), torch.randn(1024, 1024) * 0.1, torch.ones(1024)]
    value = measure(Weights(model_of(*layers)), due={"kappa_compressibility"})["kappa_compressibility"]
    w = np.concatenate([formulas.array(layer).ravel() for layer in layers])
    top = np.sort(np.abs(w))[: len(w) - len(w) // 10]
    assert value == pytest.approx(1 - np.linalg.norm(top) / np.linalg.norm(w), rel=0.01)


def test_complex_weights_count_by_their_size() -> None:
    """Alone and beside real ones, which come first or last."""
    torch.manual_seed(0)
    for dtypes in ([torch.complex64], [torch.float32, torch.complex64], [torch.complex128, torch.float64]):
        model = nn.ParameterList([torch.randn(40, 5, dtype=dtype) * 0.2 for dtype in dtypes])
        sizes = nn.ParameterList([weight.detach().abs() for weight in model])
        assert measure(Weights(model)) == pytest.approx(measure(Weights(sizes)), rel=1e-5)


def test_weights_that_are_not_finite_or_all_zero() -> None:
    """NaN is not small, and it shows in what it makes unknown; nothing but zeros has no shape."""
    broken = measure(Weights(model_of(torch.tensor([float("nan"), 0.001, 0.05, 3.0]))))
    assert (broken["compressibility"], broken["prunable_fraction"]) == (0.5, 0.25)
    assert all(np.isnan(broken[name]) for name in ("param_norm", "kappa_compressibility", "pq_index"))
    zero = measure(Weights(model_of(torch.zeros(5))))
    assert (zero["param_norm"], zero["compressibility"]) == (0, 1)
    assert np.isnan(zero["kappa_compressibility"])
    assert np.isnan(zero["pq_index"])


@pytest.mark.parametrize("sensor", [Weights, UpdateRatio])
def test_nothing_that_trains_has_no_values(sensor) -> None:
    """Neither an empty model nor a frozen one."""
    assert measure(sensor(nn.Identity())) == {}
    assert measure(sensor(nn.Linear(3, 3).requires_grad_(False))) == {}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_update_ratio(dtype: torch.dtype) -> None:
    """Of what the optimizer really did to the weights, rounding included."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2)).to(dtype)
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = as_vector(model)
    values = measure(UpdateRatio(model), step=optimizer.step)
    expected = np.linalg.norm(as_vector(model) - before) / np.linalg.norm(before)
    assert values == pytest.approx({"update_ratio": expected}, rel=2e-6)


def test_update_ratio_of_large_tensors_comes_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tensor's sample stands for all of it, so that a small tensor does not count more than it is."""
    monkeypatch.setattr(UpdateRatio, "sample_limit", 2000)
    torch.manual_seed(0)
    model = model_of(torch.randn(400, 300), torch.randn(50))
    before = as_vector(model)

    def step() -> None:
        model[0].add_(torch.randn_like(model[0]) * 0.01)
        model[1].add_(0.3)

    values = measure(UpdateRatio(model), step=step)
    expected = np.linalg.norm(as_vector(model) - before) / np.linalg.norm(before)
    assert values["update_ratio"] == pytest.approx(expected, rel=0.05)


def test_update_ratio_of_a_step_that_was_not_made() -> None:
    """Nothing moved: 0. From zero: infinite."""
    assert measure(UpdateRatio(nn.Linear(2, 2))) == {"update_ratio": 0.0}
    model = model_of(torch.zeros(2))
    assert measure(UpdateRatio(model), step=lambda: model[0].add_(1)) == {"update_ratio": np.inf}


def test_samples_are_regular_and_no_larger_than_allowed() -> None:
    """All of a small tensor; of a large one each s-th element, over the ends of tensors, s without common factors."""
    assert sample_of(torch.arange(12.0).view(3, 4), 12).tolist() == list(range(12))
    big = torch.arange(100_000.0)
    stride = stride_for(len(big), 1000)
    assert 100 <= stride <= 110
    assert all(stride % factor for factor in (2, 3, 5, 7))
    assert torch.equal(sample_of(big.view(250, 400), 1000), big[::stride])
    pieces = [big[:7], big[7:7].clone(), big[7:20].view(13, 1), big[20:99_990], big[99_990:]]
    assert torch.equal(sample_of_all(pieces, 1000), big[::stride])
