"""A sensor's measurement of one step, as a meter would take it."""

from collections.abc import Callable, Collection

import torch

from trainguard.signals.base import Sensor, StepView


def measure(
    sensor: Sensor,
    view: StepView | None = None,
    *,
    forward: Callable[[], object] = lambda: None,
    step: Callable[[], object] = lambda: None,
    due: Collection[str] | None = None,
) -> dict[str, float]:
    """What the sensor gives for the signals that are due, by default all of its own.

    ``forward`` is the step's forward and backward pass, ``step`` that of the optimizer.
    """
    view = view or StepView()
    names = frozenset(sensor.signals if due is None else due)
    sensor.arm(names)
    forward()
    with torch.no_grad():
        values = dict(sensor.before_step(view, names))
        step()
        values |= sensor.after_step(view, names)
    sensor.disarm()
    return {name: float(value) for name, value in values.items() if name in names and value is not None}
