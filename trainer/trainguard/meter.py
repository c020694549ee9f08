"""The meter: measures what is due in a step, and survives every signal.

A step is measured in two phases, before and after the optimizer moves the parameters, and read out once at the
end. Which signals are due is settled at the end of the step before, because some need hooks in the forward pass.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from trainguard.faults import Faults
from trainguard.readout import readout
from trainguard.signals.base import Phase, Signal, StepView


class Meter:
    """Holds the signals and, during a step, what they measured. ``saw_logits``: the last step handed some."""

    def __init__(self, signals: Iterable[Signal], cadences: Mapping[str, int | None], faults: Faults) -> None:
        self._signals = {signal.name: signal for signal in signals}
        self._faults = faults
        self._due: list[Signal] = []
        self._requested: set[str] = set()
        self._values: dict[str, float | Tensor] = {}
        self.saw_logits = False
        for name, every in cadences.items():
            self._signals[name].every = every

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._signals)

    def request(self, *names: str) -> None:
        """Have these signals measured in the next step, whatever their cadence."""
        self._requested.update(name for name in names if name in self._signals)

    def arm(self, step: int) -> None:
        """Settle what is due in ``step``, the one about to begin."""
        self.disarm()
        due = [s for s in self._signals.values() if (s.every and step % s.every == 0) or s.name in self._requested]
        for signal in due:
            try:
                signal.arm()
            except Exception as error:
                self._faults.note(f"signal.{signal.name}", error)
        self._due = due
        self._requested.clear()

    def disarm(self) -> None:
        for signal in self._due:
            try:
                signal.disarm()
            except Exception as error:
                self._faults.note(f"signal.{signal.name}", error)
        self._due = []

    def begin(self, view: StepView) -> None:
        """Measure what is to be seen before the optimizer's step; forgets a step that was never finished."""
        self._values = {}
        self.saw_logits = view.logits is not None
        self._measure("before", view)

    def finish(self, view: StepView) -> dict[str, float]:
        """Measure what is to be seen after the optimizer's step, and read the whole step out."""
        self._measure("after", view)
        values, self._values = self._values, {}
        return readout(values, self._faults)

    def _measure(self, phase: Phase, view: StepView) -> None:
        with torch.no_grad():
            for signal in self._due:
                if signal.phase != phase:
                    continue
                try:
                    value = signal.measure(view)
                except Exception as error:
                    self._faults.note(f"signal.{signal.name}", error)
                    continue
                if value is not None:
                    self._values[signal.name] = value
