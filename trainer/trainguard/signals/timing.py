"""Signals of time."""

from trainguard.signals.base import Signal, StepView, Value


class StepSeconds(Signal):
    """Seconds from the end of the last guarded step to the end of this one; None in the first step.

    Everything the loop does in between counts: loading data, a validation phase, the guard itself.
    """

    name = "step_seconds"
    phase = "after"

    def measure(self, view: StepView) -> Value:
        return view.seconds
