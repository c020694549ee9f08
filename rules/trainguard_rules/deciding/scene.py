"""Where a decision is taken."""

from math import ceil
from typing import NamedTuple

from trainguard_rules.durations import Moment
from trainguard_rules.output import Output
from trainguard_wire.telemetry import Record

EXPIRES = 100  # steps, where no rule says
PATIENCE = 1.0  # seconds: to look, to decide and to tell takes time, and in some loops a hundred steps take none


class Scene(NamedTuple):
    """The last values by signal, the generation, the moment, and where what follows is written.

    ``began``: when this trainer came, where that is known.
    """

    values: dict[str, float]
    generation: int
    now: Moment
    output: Output
    began: Record | None

    def expires_step(self, expires: int = EXPIRES) -> int:
        """The last step at which what is decided now may be carried out: ``expires`` from here, a second at least."""
        return self.now.step + max(expires, ceil(PATIENCE * self._pace))

    @property
    def _pace(self) -> float:
        """Steps a second, on the average so far; 0 where it is not known, or by clocks that stand still."""
        if self.began is None or self.now.time <= self.began.time:
            return 0.0
        return max(0, self.now.step - self.began.step) / (self.now.time - self.began.time)
