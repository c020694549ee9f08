"""The weight decay, as trainguard changes it: an overlay, a factor on that of each param group.

A group at 0, of biases or norms, stays at 0 under any factor. AdamW decays by lr * weight_decay: a scaled learning
rate scales its decay as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from trainguard.levers.overlay import Overlay


class WeightDecay:
    """The weight decay of all param groups under ``scale``."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.overlay = Overlay(optimizers, "weight_decay")
        self.exists = any("weight_decay" in group for group in self.overlay.groups)
        self.scale = 1.0
        self._seen: float | None = None

    @property
    def largest(self) -> float:
        """Of all groups, as the param groups have it now; 0 where none knows the word."""
        first, *others = self.overlay.groups
        largest = first.get("weight_decay", 0.0)
        for group in others:
            largest = max(largest, group.get("weight_decay", 0.0))
        return float(largest)

    @property
    def latest(self) -> float:
        """The largest of all groups in the last step; before the first, what it would be."""
        return self.largest * self.scale if self._seen is None else self._seen

    def put_on(self) -> None:
        """Begin a step: bring the overlay into the groups, and look at the result."""
        if self.overlay.is_on:
            self.overlay.take_off()
        self._seen = None
        if self.scale != 1.0 and self.exists:
            self.overlay.put_on(lambda _, weight_decay: weight_decay * self.scale)
            self._seen = self.largest

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError and ValueError for what is no state."""
        self.scale = float(state["scale"])
