"""What measures signals: a sensor looks at one thing of a step and gives one or several named values.

A sensor gets what it needs of the run (the model, the optimizer) in its constructor and what belongs to the step
in a `StepView`. What costs most is looking, so signals that need the same look (the weights, the logits) come
from one sensor. A value is a float, a 0-d tensor on any device, or None where the step has no such value; only that of
`Layers` is a number for each of many. No sensor waits for a device. A new sensor is a class in the file of its family
and a line in `signals.offered`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from torch import Tensor

from trainguard.faults import met
from trainguard.signals.norms import GradNorms, LayerNorms

Measured = float | Tensor | LayerNorms
Value = Measured | None


@dataclass(slots=True)
class StepView:
    """What a sensor may look at of one step.

    ``groups`` is a spurious attribute of each sample, as a class index; ``norms`` are those of the gradients before
    clipping, where the loop clipped through the guard; ``step`` is the number of the step; ``seconds`` is known
    after the optimizer's step, from the second step on.
    """

    loss: Tensor | float | None = None
    logits: Tensor | None = None
    targets: Tensor | None = None
    groups: Tensor | None = None
    norms: GradNorms | None = None
    step: int = 1
    seconds: float | None = None

    def misfit(self) -> str | None:
        """What was handed over and is no tensor, in words for who fails on it; None where all of it fits."""
        for name in ("logits", "targets", "groups"):
            given = getattr(self, name)
            if not (given is None or isinstance(given, Tensor)):
                return f"{name} is {met(given)}, wanted a tensor"
        return None


def every(**steps: int | None) -> Mapping[str, int | None]:
    """Signals by name, each with its default cadence in steps; None: on request only."""
    return steps


class Sensor:
    """Measures the ``signals`` it names, at the cadences it names unless told otherwise.

    In a step for which at least one of them is ``due``, its methods are called in the order in which they stand
    here, without gradient tracking if it ``computes`` with the loop's tensors. The value of a signal that is not due is
    not looked at, and should cost nothing.
    """

    name: str
    signals: Mapping[str, int | None]
    computes = True

    def arm(self, due: AbstractSet[str]) -> None:
        """At the end of the step before: install the hooks that the forward pass needs."""

    def take_hook_seconds(self) -> float:
        """How long those hooks took since the last call."""
        return 0.0

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        """Before the optimizer's step: the gradients, and the parameters as they were."""
        return {}

    def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        """After the optimizer's step: the new parameters, and the step's time."""
        return {}

    def disarm(self) -> None:
        """Once the step is measured, or will not be: remove hooks, drop what was kept for the step."""
