"""Signals of the activations against their formulas, and the hooks that see them."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tests.trainer import formulas
from tests.trainer.sensing import measure
from trainguard.faults import Faults
from trainguard.signals.activations import Activations, activations_of
from trainguard.signals.base import StepView
from trainguard.signals.counting import count_nonfinite, counts_below
from trainguard.signals.features import Features

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def activations(model: nn.Module, *inputs: torch.Tensor) -> dict[str, float]:
    """What is measured over forward passes of these inputs."""
    faults = Faults()
    sensor = Activations(model, activations_of(model), faults)
    values = measure(sensor, forward=lambda: [model(x) for x in inputs])
    assert faults.counts == {}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("make", [nn.ReLU, nn.GELU, nn.Tanh])
def test_activations(make, dtype: torch.dtype) -> None:
    """Shares over all outputs of all watched modules."""
    torch.manual_seed(0)
    model = nn.Sequential(make(), nn.Linear(6, 50), make()).to(dtype)
    x = (torch.randn(3, 6) * 0.3).to(dtype)
    first = formulas.array(model[0](x))
    second = formulas.array(model[1:](model[0](x)))
    outputs = np.concatenate([first.ravel(), second.ravel()])
    assert activations(model, x) == pytest.approx(
        {
            "activation_sparsity": np.mean(np.abs(outputs) < 0.1),
            "zero_fraction": np.mean(outputs == 0),
            "dead_units": np.mean([*(first == 0).all(axis=0), *(second == 0).all(axis=0)]),
        },
        rel=1e-6,
        abs=1e-6,
    )


def test_about_half_of_an_untrained_networks_units_are_small() -> None:
    """Why the seed's threshold of 30 % says little."""
    torch.manual_seed(0)
    values = activations(nn.Sequential(nn.Linear(64, 500), nn.ReLU()), torch.randn(100, 64))
    assert values["zero_fraction"] == pytest.approx(0.5, abs=0.05)
    assert values["activation_sparsity"] > values["zero_fraction"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_units(dtype: torch.dtype) -> None:
    """Channels of images, places of the last axis else; a unit lives if one sample, of any micro-batch, shows it."""
    images = torch.zeros(2, 3, 4, 4, dtype=dtype)
    images[1, 2, 3, 0] = 1
    assert activations(nn.ReLU(), images)["dead_units"] == pytest.approx(2 / 3)
    words = torch.zeros(2, 5, 4, dtype=dtype)
    words[0, 1, 3] = words[1, 4, 0] = float("nan")
    assert activations(nn.ReLU(), words)["dead_units"] == 0.5
    assert activations(nn.ReLU(), words, torch.ones(2, 5, 4, dtype=dtype))["dead_units"] == 0
    assert activations(nn.ReLU(), torch.zeros(7, dtype=dtype))["dead_units"] == 1


def test_a_module_used_twice_has_units_of_its_own_in_each_use() -> None:
    """A shared ReLU is a torchvision idiom."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(-self.relu(x))

    x = torch.ones(2, 3, 4, 4)
    assert activations(Shared(), x, x)["dead_units"] == 0.5


def test_what_has_no_activations() -> None:
    """No forward pass, an empty batch, a model in evaluation."""
    assert activations(nn.ReLU()) == {}
    assert activations(nn.ReLU(), torch.zeros(0, 4)) == pytest.approx({"dead_units": 1.0})
    assert activations(nn.ReLU().eval(), torch.zeros(2, 4)) == {}


def test_a_hook_that_fails_harms_no_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noted, and the output is what it is."""
    monkeypatch.setattr("trainguard.signals.activations.counts_below", lambda *_: 1 / 0)
    faults, model = Faults(), nn.ReLU()
    sensor = Activations(model, [model], faults)
    seen: list[torch.Tensor] = []
    measure(sensor, forward=lambda: seen.append(model(torch.ones(3))))
    assert torch.equal(seen[0], torch.ones(3))
    assert faults.counts == {"signal.activations": 1}


def test_a_module_that_gives_back_no_tensor_is_said(said: pytest.LogCaptureFixture) -> None:
    """It was named by somebody who waits for a signal."""
    faults, model = Faults(), nn.LSTM(3, 5)
    assert measure(Activations(model, [model], faults), forward=lambda: model(torch.ones(2, 3))) == {}
    assert faults.counts == {"signal.activations": 1}
    assert "the output of a LSTM is a tuple, wanted a tensor" in said.messages[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_counts(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in one piece and in many, in memory of any order."""
    torch.manual_seed(0)
    tensor = (torch.randn(40, 50) * 0.1).to(dtype)
    tensor[torch.rand(40, 50) < 0.3] = 0
    tensor[3, :4] = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.1]).to(dtype)
    exact = formulas.array(tensor)
    for piece in (1 << 22, 7):
        monkeypatch.setattr("trainguard.signals.counting._PIECE", piece)
        for view in (tensor, tensor.t(), tensor[::2, 1:]):
            part = exact if view.numel() == 2000 else exact[::2, 1:]
            below = [int(count) for count in counts_below(view, 0.1, 0.01)]
            assert below == [np.sum(np.abs(part) < 0.1), np.sum(np.abs(part) < 0.01)]
            assert int(count_nonfinite([view, view])) == 2 * np.sum(~np.isfinite(part))


def saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, AveragedModel, lambda model: pickle.loads(pickle.dumps(model)), saved_and_loaded],
    ids=["deepcopy", "AveragedModel", "pickle", "torch.save"],
)
def test_a_model_is_copied_and_saved_while_it_is_watched(copied) -> None:
    """What runs in the copy is not seen, and the copy computes what the model does."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    faults, x = Faults(), torch.randn(5, 4)
    sensors = [
        Activations(model, activations_of(model), faults),
        Features(model[2], False, faults),
        Features(model[0], True, faults),
    ]
    for sensor in sensors:
        sensor.arm(sensor.signals.keys())
    other = copied(model).train()
    assert torch.equal(other(x), model(x))
    seen = [sensor.before_step(StepView(), sensor.signals.keys()) for sensor in sensors]
    other(torch.zeros(1000, 4))
    assert [sensor.before_step(StepView(), sensor.signals.keys()) for sensor in sensors] == seen
    for sensor in sensors:
        sensor.disarm()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_was_pickled_while_it_was_watched_needs_no_trainguard() -> None:
    """Somebody else may read the file."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    sensor = Activations(model, activations_of(model), Faults())
    sensor.arm(sensor.signals.keys())
    assert b"trainguard" not in pickle.dumps(model)
