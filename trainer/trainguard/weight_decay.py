"""The weight decay of an optimizer's groups. Optimizers read it at each step, so a plain write holds."""

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer


class WeightDecay:
    """Reads and writes weight decay. ``changed`` holds what trainguard wrote, by group index."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        self.changed: dict[int, float] = {}
        self.seen: float | None = None

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Read anew each time: an optimizer that loads a state has other groups."""
        if len(self._optimizers) == 1:
            return self._optimizers[0].param_groups
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    @property
    def exists(self) -> bool:
        return any("weight_decay" in group for group in self._groups)

    @property
    def largest(self) -> float | None:
        """The largest of all groups; None where no group knows the word."""
        values = [float(group["weight_decay"]) for group in self._groups if "weight_decay" in group]
        return max(values) if values else None

    def positive(self) -> dict[int, float]:
        """The groups that have some, by index: bias and norm groups at 0 stay at 0."""
        groups = enumerate(self._groups)
        return {index: float(group["weight_decay"]) for index, group in groups if group.get("weight_decay", 0) > 0}

    def look(self) -> None:
        """Remember what the step about to be made will see."""
        self.seen = self.largest

    def write(self, values: dict[int, float]) -> None:
        for index, value in values.items():
            self._groups[index]["weight_decay"] = value
        self.changed.update(values)

    def state_dict(self) -> dict[str, Any]:
        return {"changed": {str(index): value for index, value in self.changed.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Write the stored values again: the same ones, whether or not the optimizer's own state brought them."""
        num_groups = len(self._groups)
        changed = {int(index): float(value) for index, value in state["changed"].items()}
        if any(index >= num_groups for index in changed):
            raise ValueError(f"weight decay of groups {sorted(changed)} is stored, the optimizer has {num_groups}")
        self.write(changed)
