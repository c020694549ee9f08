"""From what the sensors measured to plain floats, without ever waiting for an accelerator.

A value in CPU memory is read at once, which is four times cheaper than stacking it with others first. Values on
an accelerator are stacked there, and a copy into pinned host memory is queued behind the work that computes them;
an event tells when it has arrived. The host only asks the event, at the end of each later step. So the readings
of a step on an accelerator come out one step late, or later where the host runs further ahead, and always in the
order of the steps. Only the end of the run waits for what is still under way; and an ``exact`` run, in which each
step waits for the readings of the one before, so that they come out exactly one step late.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainguard import host_memory
from trainguard.faults import Faults
from trainguard.progress import Moment
from trainguard.signals.base import Measured
from trainguard.signals.gradients import largest
from trainguard.signals.norms import LayerNorms

Numbers = dict[str, float]


class Reading(NamedTuple):
    """The values that were measured at a moment of the run, NaN and infinities included.

    ``layers`` are the largest gradient norms by parameter; None where they were not measured.
    """

    at: Moment
    values: Numbers
    layers: Numbers | None = None


class Copy:
    """A one-dimensional tensor on its way into host memory.

    From a device whose streams torch does not show, as Apple's, it is waited for at once.
    """

    def __init__(self, tensor: Tensor) -> None:
        device = torch.get_device_module(tensor.device)
        self._arrival: Any = None
        if not hasattr(device, "current_stream"):
            self._host = tensor.cpu()
            return
        self._host = host_memory.empty(tensor.shape, tensor.dtype, pinned=tensor.device.type != "cpu")
        self._host.copy_(tensor, non_blocking=True)
        self._arrival = device.Event()
        self._arrival.record(device.current_stream(tensor.device))

    def has_arrived(self) -> bool:
        return self._arrival is None or bool(self._arrival.query())

    def wait(self) -> None:
        if self._arrival is not None:
            self._arrival.synchronize()

    def numbers(self) -> list[float]:
        """Only once it has arrived."""
        return self._host.tolist()


Named = tuple[Sequence[str], Copy]


class _Waiting(NamedTuple):
    """A reading that lacks the values of these names, which are in the copy, and perhaps layers."""

    reading: Reading
    copies: list[Named]
    layers: Named | None

    def is_complete(self) -> bool:
        return all(copy.has_arrived() for _, copy in self.under_way)

    @property
    def under_way(self) -> list[Named]:
        return self.copies if self.layers is None else [*self.copies, self.layers]

    def completed(self) -> Reading:
        for names, copy in self.copies:
            self.reading.values.update(zip(names, copy.numbers(), strict=True))
        if self.layers is None:
            return self.reading
        names, copy = self.layers
        return self.reading._replace(layers=largest(names, copy.numbers()))


class Readout:
    """Takes what was measured at each step and gives the readings that are complete, the oldest first."""

    def __init__(self, faults: Faults, copy: Callable[[Tensor], Copy] = Copy, *, exact: bool = False) -> None:
        self._faults = faults
        self._copy = copy
        self._exact = exact
        self._waiting: deque[_Waiting] = deque()

    @property
    def is_waiting(self) -> bool:
        """Whether a reading is under way."""
        return bool(self._waiting)

    def submit(self, at: Moment, values: dict[str, Measured]) -> list[Reading]:
        """Hand in the values of a step, and leave them to it. What is no scalar is left out and noted.

        Norms of layers are one value, of whatever name.
        """
        if not self._waiting and set(map(type, values.values())) == {float}:
            return [Reading(at, values)]  # type: ignore[arg-type]  # floats, as was just seen
        numbers: Numbers = {}
        remote: dict[torch.device, dict[str, Tensor]] = {}
        layers: LayerNorms | None = None
        for name, value in values.items():
            if type(value) is float:
                numbers[name] = value
            elif isinstance(value, LayerNorms):
                layers = value
            elif not isinstance(value, Tensor) or value.is_cpu:
                self._read(name, value, numbers)
            elif value.numel() != 1:
                self._faults.note(f"signal.{name}", f"a tensor of shape {tuple(value.shape)} is not a scalar")
            else:
                numbers[name] = nan  # keeps its place in the order
                remote.setdefault(value.device, {})[name] = value.detach().reshape(())
        reading = Reading(at, numbers)
        if layers is not None and layers.norms.is_cpu:
            reading, layers = reading._replace(layers=largest(layers.names, layers.norms.tolist())), None
        if not remote and layers is None and not self._waiting:
            return [reading]
        before = self.flush() if self._exact else []
        copies: list[Named] = [(list(each), self._fetch(each)) for each in remote.values()]
        self._waiting.append(_Waiting(reading, copies, layers and (layers.names, self._copy(layers.norms.detach()))))
        return before if self._exact else list(self._complete())

    observe = submit  # values of the user's own; the ranks' readout keeps them for the next step

    @property
    def oldest_under_way(self) -> int | None:
        """The step of the oldest reading that has not come out yet; None where there is none."""
        return self._waiting[0].reading.at.step if self._waiting else None

    def flush(self) -> list[Reading]:
        """The readings that are still under way; waits for them."""
        for waiting in self._waiting:
            for _, copy in waiting.under_way:
                copy.wait()
        return list(self._complete())

    def _read(self, name: str, value: float | Tensor, numbers: Numbers) -> None:
        try:
            numbers[name] = float(value.item() if isinstance(value, Tensor) else value)
        except Exception as error:  # whatever a knob gives back, a user's own class included
            self._faults.note(f"signal.{name}", error)

    def _fetch(self, values: Mapping[str, Tensor]) -> Copy:
        # A stack of different types is of a type that holds them all.
        return self._copy(torch.stack(tuple(values.values())))

    def _complete(self) -> Iterator[Reading]:
        while self._waiting and self._waiting[0].is_complete():
            yield self._waiting.popleft().completed()
