"""Scaling within bounds, the same for everything that is scaled."""

from dataclasses import dataclass

from trainguard.actuators.base import Params, Refused


@dataclass(frozen=True)
class Scaling:
    """Multiply by ``factor``, and end no lower than ``low`` and no higher than ``high`` (None: no bound)."""

    factor: float
    low: float
    high: float | None

    @classmethod
    def parse(cls, params: Params) -> "Scaling":
        """``{factor, min=0.0, max=None}``. Raises `Refused`."""
        factor = params.number("factor", above=0.0)  # a revert may need more than a rule may ask for
        scaling = cls(factor, params.number("min", 0.0), params.number_or_none("max"))
        params.end()
        if scaling.high is not None and scaling.low > scaling.high:
            raise Refused(f"min is {scaling.low:g}, wanted no more than max, which is {scaling.high:g}")
        return scaling

    def apply(self, value: float) -> float:
        """The scaled value. A bound never moves it the other way: what is beyond one already stays."""
        scaled = value * self.factor
        if self.factor < 1.0:
            return min(value, max(scaled, self.low))
        return scaled if self.high is None else max(value, min(scaled, self.high))

    def within(self, value: float, what: str) -> float:
        """The factor that takes ``value`` as far as the bounds let it. Raises `Refused` where that is nowhere."""
        target = self.apply(value)
        if target == value and self.factor != 1.0:
            bound = f"min {self.low:g}" if self.factor < 1.0 else f"max {self.high}"
            raise Refused(f"{what} is {value:g} and the action's bound is {bound}")
        return self.factor if target == value * self.factor else target / value
