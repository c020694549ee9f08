"""Where the run is."""

from dataclasses import dataclass
from typing import NamedTuple


class Moment(NamedTuple):
    """A point of the run, as `Progress` was then. ``time`` is Unix seconds."""

    step: int
    generation: int
    epoch: int | None
    time: float


@dataclass(slots=True)
class Progress:
    """``step`` is the last finished optimizer step, 0 before the first; ``epoch`` is None where the loop
    does not say; ``generation`` counts restarts and roll-backs."""

    step: int = 0
    generation: int = 0
    epoch: int | None = None

    def at(self, time: float) -> Moment:
        """Now, which is ``time``."""
        return Moment(self.step, self.generation, self.epoch, time)
