"""Signals against their formulas in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.faults import Faults
from trainguard.signals.activations import DeadUnits, activations_of
from trainguard.signals.base import Sensor, StepView
from trainguard.signals.predictions import Confidence, PredictionEntropy


def measured(sensor: Sensor, view: StepView | None = None) -> Any:
    """The value of a sensor of one signal, as a number; None where it has none."""
    value = sensor.before_step(view or StepView(), sensor.signals.keys()).get(sensor.name)
    return None if value is None else float(value)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def entropy(classes: np.ndarray, num_classes: int) -> float:
    shares = np.bincount(classes.ravel(), minlength=num_classes) / classes.size
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum() / np.log(num_classes))


def test_every_signal_of_a_step(run_dir: Path, monitor: Monitor) -> None:
    """One step, every value, from the tensors the loop itself has."""
    run = Run(lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.03))
    outputs = []
    run.model.layers[2].register_forward_hook(lambda *args: outputs.append(args[2].detach().numpy().copy()))
    every = {"activation_sparsity": 1, "prediction_entropy": 1, "dead_units": 1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, every=every) as guard:
        loss, logits, y = run.backward()
        squares = [np.square(p.grad.numpy().astype(float)).sum() for p in run.model.parameters()]
        guard.step(loss, logits=logits, targets=y, epoch=2)
        run.train(guard)
    sample, second = monitor.samples()
    rows = logits.detach().numpy()
    assert sample.values == pytest.approx(
        {
            "loss": loss.item(),
            "grad_norm": np.sqrt(sum(squares)),
            "lr": 0.01,
            "lr_scale": 1.0,
            "weight_decay": 0.03,
            "confidence": softmax(rows).max(axis=-1).mean(),
            "prediction_entropy": entropy(rows.argmax(axis=-1), rows.shape[-1]),
            "activation_sparsity": (np.abs(outputs[0]) < 0.1).mean(),
            "dead_units": (outputs[0] == 0).all(axis=0).mean(),
        },
        rel=1e-5,
    )
    assert (sample.step, sample.epoch, sample.generation) == (1, 2, 0)
    assert 0 < second.values["step_seconds"] < 60


def test_grad_norm_is_the_one_before_clipping(run_dir: Path, monitor: Monitor) -> None:
    """clip_ hands its norm on; without gradients there is none."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        loss, *_ = run.backward()
        norm = guard.clip_(1e-3)
        guard.step(loss)
        run.optimizer.zero_grad()
        guard.step(loss)
        run.train(guard)
    first, second, third = monitor.samples()
    assert first.values["grad_norm"] == norm.item() > 0.1
    assert "grad_norm" not in second.values
    assert third.values["grad_norm"] > 1e-3


def test_non_finite_values_travel(run_dir: Path, monitor: Monitor) -> None:
    """A NaN loss is the one value that must arrive."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.backward()
        guard.step(torch.tensor(float("nan")), logits=torch.full((2, 3), float("nan")))
        guard.observe(val_loss=float("inf"), accuracy=torch.tensor(0.5), steps=3)
    first, second = monitor.samples()
    assert first.nonfinite == {"loss": "NaN", "confidence": "NaN"}
    assert (second.values, second.nonfinite, second.step) == (
        {"accuracy": 0.5, "steps": 3},
        {"val_loss": "Infinity"},
        1,
    )


def test_cadence_of_activation_sparsity_and_no_hooks_between(run_dir: Path, monitor: Monitor) -> None:
    """Hooks exist only for the steps that are due; evaluation is not looked at."""
    run = Run()
    relu = run.model.layers[2]
    with Guard(run.model, run.optimizer, run_dir=run_dir, every={"activation_sparsity": 3, "loss": None}) as guard:
        for step in range(1, 8):
            assert len(relu._forward_hooks) == (step % 3 == 0)
            if step == 3:
                run.model.eval()
                run.model(torch.full((4, 8), 1e6))
                run.model.train()
            run.train(guard)
    assert [sample.step for sample in monitor.samples() if "activation_sparsity" in sample.values] == [3, 6]
    assert monitor.series("loss") == []
    assert monitor.series("activation_sparsity")[0] < 0.9
    assert not relu._forward_hooks


def test_micro_batches_count_together(run_dir: Path, monitor: Monitor) -> None:
    """Two forward passes before one step: shares over both, a unit is dead when it is in both."""
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    every = {"activation_sparsity": 1, "dead_units": 1}
    with Guard(model, optimizer, run_dir=run_dir, every=every, checkpoint_every=None) as guard:
        model(torch.tensor([[1.0, 0.0, 0.0]]))
        model(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
        guard.step(1.0)
    assert monitor.samples()[0].values["activation_sparsity"] == pytest.approx(6 / 9)
    assert monitor.samples()[0].values["dead_units"] == pytest.approx(1 / 3)


def test_a_module_used_twice_has_units_of_its_own_in_each_use() -> None:
    """A shared ReLU is a torchvision idiom; and channels are the units of images."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(-self.relu(x))

    model = Shared()
    signal = DeadUnits(model, activations_of(model), Faults())
    signal.arm({"dead_units"})
    model(torch.ones(2, 3, 4, 4))
    model(torch.ones(2, 3, 4, 4))
    assert measured(signal) == 0.5
    signal.disarm()


def test_classes_of_dense_predictions_and_of_none() -> None:
    """Axis 1 where the targets say so, the last axis else; fewer than two classes have no distribution."""
    logits = torch.randn(2, 5, 3, 4)
    dense = StepView(logits=logits, targets=torch.zeros(2, 3, 4))
    rows = logits.movedim(1, -1).numpy()
    assert measured(Confidence(), dense) == pytest.approx(softmax(rows).max(-1).mean())
    assert measured(PredictionEntropy(), dense) == pytest.approx(entropy(rows.argmax(-1), 5))
    for nothing in (None, torch.randn(4, 1), torch.randn(4), torch.randn(0, 3)):
        assert measured(Confidence(), StepView(logits=nothing)) is None
        assert measured(PredictionEntropy(), StepView(logits=nothing)) is None


def test_prediction_entropy_at_its_ends() -> None:
    """One class is 0, even is 1, NaN is NaN rather than collapse."""
    signal = PredictionEntropy()
    assert measured(signal, StepView(logits=torch.tensor([[9.0, 0.0]] * 4))) == 0
    assert measured(signal, StepView(logits=torch.eye(3))) == pytest.approx(1)
    assert np.isnan(measured(signal, StepView(logits=torch.full((2, 2), float("nan")))))
