"""On an accelerator, no sensor may wait for the device.

There is none here, but a meta tensor has no values at all: whatever would have to be read to go on, for ``item()``,
a boolean index, a number of distinct values, raises. So a sensor that works on meta tensors reads nothing.
"""

import pytest
import torch
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.activations import Activations, activations_of
from trainguard.signals.base import Sensor, StepView
from trainguard.signals.features import Features, source_of
from trainguard.signals.gradients import LAYERS, Gradients, Layers
from trainguard.signals.moments import RmsRatio
from trainguard.signals.norms import LayerNorms
from trainguard.signals.predictions import BiasConflict, Loss, Predictions
from trainguard.signals.weights import UpdateRatio, Weights

FAULTS = Faults()


def make_model() -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(8, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.GELU(), nn.Linear(4096, 5))


SENSORS = {
    "loss": lambda model: Loss(),
    "gradients": Gradients,
    LAYERS: Layers,
    "predictions": lambda model: Predictions(),
    "bias_conflict": lambda model: BiasConflict(),
    "activations": lambda model: Activations(model, activations_of(model), FAULTS),
    "features": lambda model: Features(source_of(model), False, FAULTS),
    "rms_ratio": RmsRatio,
    "update_ratio": UpdateRatio,
    "weights": Weights,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", SENSORS)
def test_no_value_is_read(name: str, dtype: torch.dtype) -> None:
    """Each signal with a cadence is a scalar on the device, computed twice as in a run."""
    model = make_model().to(dtype)
    sensor: Sensor = SENSORS[name](model)
    due = frozenset(name for name, every in sensor.signals.items() if every is not None)
    for step in (1, 2):
        sensor.arm(due)
        x = torch.empty(16, 8, device="meta", dtype=dtype)
        y = torch.empty(16, device="meta", dtype=torch.long)
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        view = StepView(loss, logits, y, y, step=step)
        with torch.no_grad():
            values = {**sensor.before_step(view, due), **sensor.after_step(view, due)}
        sensor.disarm()
        assert set(values) == due
        for value in values.values():
            number, wanted = (value.norms, 6) if isinstance(value, LayerNorms) else (value, 1)
            assert isinstance(number, Tensor)
            assert (number.device.type, number.numel(), number.requires_grad) == ("meta", wanted, False)
    assert FAULTS.counts == {}


def test_counting_non_finite_gradients_is_rare_on_an_accelerator() -> None:
    """There it is a look at every element; on the host the norm says it."""
    assert Gradients(make_model()).signals["nonfinite"] == 100
    assert Gradients(nn.Linear(2, 2)).signals["nonfinite"] == 1
