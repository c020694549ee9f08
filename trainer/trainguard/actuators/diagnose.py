"""The action that only looks: a probe too dear for every step, measured in the next one."""

from collections.abc import Mapping

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.measuring.meter import Meter
from trainguard.progress import Progress

COLLAPSE = ("prediction_entropy", "dead_units", "effective_rank")


class Diagnose:
    """``diagnose {probe: collapse}``: have its signals in the next step's sample, as far as there are any.

    Acknowledged with prediction_entropy, where logits were handed to the guard.
    """

    kind = "diagnose"

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def act(self, params: Params, at: Progress) -> Pending:
        params.choice("probe", "collapse", default="collapse")
        params.end()
        if not {"dead_units", "effective_rank"} & set(self._meter.names) and not self._meter.saw_logits:
            raise Refused("nothing can be measured: the guard gets no logits and watches no activations or features")
        self._meter.request(*COLLAPSE)
        return Pending(self._settle, needs_values=True)

    @staticmethod
    def _settle(values: Mapping[str, float]) -> Done:
        if not any(name in values for name in COLLAPSE):
            raise Refused("the step gave nothing to measure: no logits, and no watched module ran")
        return Done(after=_finite(values.get("prediction_entropy")))


def _finite(value: float | None) -> float | None:
    """An ack has no way to carry a NaN; the sample has."""
    return value if value is not None and value == value else None
