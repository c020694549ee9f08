"""Where a decision is taken."""

from typing import NamedTuple

from trainguard_rules.durations import Moment
from trainguard_rules.output import Output


class Scene(NamedTuple):
    """The last values by signal, the generation, the moment, and where what follows is written."""

    values: dict[str, float]
    generation: int
    now: Moment
    output: Output
