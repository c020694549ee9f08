"""Where the run is."""

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """``step`` is the last finished optimizer step, 0 before the first; ``epoch`` is None where the loop
    does not say; ``generation`` counts restarts and roll-backs."""

    step: int = 0
    generation: int = 0
    epoch: int | None = None
