"""The meter: measures what is due in a step, and survives every sensor.

A step is measured in two phases, before and after the optimizer moves the parameters, and read out once at the
end. Which signals are due is settled at the end of the step before, because some need hooks in the forward pass.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from trainguard.faults import Faults
from trainguard.progress import Moment
from trainguard.readout import Reading, Readout
from trainguard.signals.base import Sensor, StepView, Value


class Meter:
    """Holds the sensors and, during a step, what they measured. ``saw_logits``: the last step handed some.

    ``cadences`` are those that differ from the sensors' own.
    """

    def __init__(
        self, sensors: Iterable[Sensor], cadences: Mapping[str, int | None], readout: Readout, faults: Faults
    ) -> None:
        self._readout = readout
        self._sensors = tuple(sensors)
        self._every = {name: every for sensor in self._sensors for name, every in sensor.signals.items()}
        self._every.update(cadences)
        self._faults = faults
        self._due: list[tuple[Sensor, frozenset[str]]] = []
        self._requested: set[str] = set()
        self._values: dict[str, float | Tensor] = {}
        self.saw_logits = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._every)

    def request(self, *names: str) -> None:
        """Have these signals measured in the next step, whatever their cadence."""
        self._requested.update(name for name in names if name in self._every)

    def arm(self, step: int) -> None:
        """Settle what is due in ``step``, the one about to begin."""
        self.disarm()
        due = {name for name, every in self._every.items() if every and step % every == 0} | self._requested
        self._requested.clear()
        for sensor in self._sensors:
            names = due & sensor.signals.keys()
            if not names:
                continue
            self._due.append((sensor, frozenset(names)))
            with self._faults.around(f"signal.{sensor.name}"):
                sensor.arm(names)

    def disarm(self) -> None:
        for sensor, _ in self._due:
            with self._faults.around(f"signal.{sensor.name}"):
                sensor.disarm()
        self._due = []

    def begin(self, view: StepView) -> None:
        """Measure what is to be seen before the optimizer's step; forgets a step that was never finished."""
        self._values = {}
        self.saw_logits = view.logits is not None
        with torch.no_grad():
            for sensor, due in self._due:
                self._measure(sensor, sensor.before_step, view, due)

    def finish(self, view: StepView, at: Moment) -> list[Reading]:
        """Measure what is to be seen after the optimizer's step; returns the readings that are complete by now."""
        with torch.no_grad():
            for sensor, due in self._due:
                self._measure(sensor, sensor.after_step, view, due)
        values, self._values = self._values, {}
        return self._readout.submit(at, values)

    def _measure(
        self,
        sensor: Sensor,
        look: Callable[[StepView, AbstractSet[str]], Mapping[str, Value]],
        view: StepView,
        due: AbstractSet[str],
    ) -> None:
        with self._faults.around(f"signal.{sensor.name}"):
            for name, value in look(view, due).items():
                if value is not None and name in due:
                    self._values[name] = value
