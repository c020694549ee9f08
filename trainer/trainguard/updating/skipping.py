"""Skipping: updates that are dropped because somebody asked for it, whatever their gradients are.

A skipped step is a step like any other, measured and counted, but for the update: parameters and optimizer state stay,
bit for bit, what they were. How an update is dropped is for `Dropping`.
"""

from collections.abc import Mapping
from typing import Any


class Skipping:
    """The updates up to and with step ``until`` are dropped; 0 where that was never asked for.

    ``last`` is the last step whose update was dropped, 0 before the first.
    """

    def __init__(self) -> None:
        self.until = 0
        self.last = 0

    def left(self, step: int) -> int:
        """How many updates are to be dropped after ``step``."""
        return max(0, self.until - step)

    def drops(self, step: int) -> bool:
        """Whether the update of this step, now about to be made, is to be dropped."""
        if step > self.until:
            return False
        self.last = step
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"until": self.until}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError and ValueError for what is no state."""
        self.until = int(state["until"])
