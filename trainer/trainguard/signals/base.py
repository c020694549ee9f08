"""What a signal is: a name, a cadence, and one measurement of one step.

A signal gets what it needs of the run (the model, the optimizer) in its constructor and what belongs to the
step in a `StepView`. It returns a float, a 0-d tensor on any device, or None where the step has no such value;
it never waits for a device. A new signal is a class in the file of its family and a line in `signals.offered`.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Phase = Literal["before", "after"]
Value = float | Tensor | None


@dataclass(slots=True)
class StepView:
    """What a signal may look at of one step.

    ``groups`` is a spurious attribute of each sample, as a class index; ``clip_norm`` is the norm before clipping,
    where the loop clipped through the guard; ``seconds`` is known in the phase ``after``, from the second step on.
    """

    loss: Tensor | float | None = None
    logits: Tensor | None = None
    targets: Tensor | None = None
    groups: Tensor | None = None
    clip_norm: Tensor | None = None
    seconds: float | None = None


class Signal:
    """One thing measured. ``every`` is its cadence in steps; None: only in steps where it is asked for.

    ``before`` signals see the gradients and the old parameters, ``after`` signals the new parameters.
    """

    name: str
    every: int | None = 1
    phase: Phase = "before"

    def arm(self) -> None:
        """Called at the end of the step before one in which the signal is due."""

    def disarm(self) -> None:
        """Called once the due step is measured, or will not be."""

    def measure(self, view: StepView) -> Value:
        """The value of this step. Runs without gradient tracking."""
        raise NotImplementedError
