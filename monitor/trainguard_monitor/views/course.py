"""How far a run has come, and whether it goes on, waits or has ended: what its telemetry alone says of that.

A pause is over with the trainer's word that it is, or with the next step: a trainer ends a pause by itself when it has
lasted as long as it may.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from trainguard_monitor.numbers import number
from trainguard_wire import Ack, Goodbye, Hello, Sample, Telemetry


class Layers(NamedTuple):
    """Gradient norms of the layers where they were largest at a step, by parameter name, the largest first."""

    step: int
    grad_norms: Mapping[str, float]


class Course:
    """`see` each record in turn; read the attributes.

    ``last_sample``, ``last_record`` (of any kind) and ``paused_since`` are times of the trainer's clock.
    ``paused_since`` is None while it does not wait, ``goodbye`` while it goes on, the others before there is any.
    """

    def __init__(self) -> None:
        self.step = 0
        self.epoch: int | None = None
        self.last_sample: float | None = None
        self.last_record: float | None = None
        self.layers: Layers | None = None
        self.paused_since: float | None = None
        self.goodbye: Goodbye | None = None
        self._paused_at = 0

    @property
    def ended(self) -> bool:
        return self.goodbye is not None

    def see(self, record: Telemetry) -> None:
        self.step, self.last_record = record.step, record.time
        self.goodbye = None
        match record:
            case Sample():
                self._measured(record)
            case Ack(kind="pause", status="applied"):
                self.paused_since, self._paused_at = record.time, record.step
            case Hello() | Ack(kind="resume" | "stop", status="applied"):
                self.paused_since = None
            case Goodbye():
                self.paused_since, self.goodbye = None, record

    def _measured(self, sample: Sample) -> None:
        self.last_sample, self.epoch = sample.time, sample.epoch
        if sample.step != self._paused_at:
            self.paused_since = None
        if sample.layers:
            norms = {name: float(norm) for name, norm in sample.layers.items()}
            self.layers = Layers(sample.step, norms)


def goodbye_as_json(goodbye: Goodbye | None) -> dict[str, Any] | None:
    """As ``/api/v1/runs`` has it, with all fields."""
    if goodbye is None:
        return None
    return {"step": goodbye.step, "time": goodbye.time, "outcome": goodbye.outcome, "error": goodbye.error}


def layers_as_json(layers: Layers | None) -> dict[str, Any] | None:
    """As ``/api/v1/runs/{run}`` has it."""
    if layers is None:
        return None
    return {"step": layers.step, "grad_norms": {name: number(norm) for name, norm in layers.grad_norms.items()}}
