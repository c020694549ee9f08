"""A hyperparameter that is changed only while the optimizers step.

Nine of 21 schedulers write ``group["lr"]`` anew on their next step, and undo a plain change; others compute the
next value from the last, and would compound it; schedules of weight decay do the same. So the param groups carry
what the schedule says at all times except during ``optimizer.step()``: `Overlay.put_on` writes what is to be in
effect, and as soon as an optimizer has stepped, its groups have the schedule's own values again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

Number = float | Tensor
Change = Callable[[int, Number], Number]


class Overlay:
    """The values of one hyperparameter in all param groups of all optimizers, floats or tensors of one element.

    ``is_on``: between `put_on` and `take_off`.
    """

    def __init__(self, optimizers: Sequence[Optimizer], name: str) -> None:
        self._sheets = [_Sheet(optimizer, name) for optimizer in optimizers]
        self.is_on = False

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Read anew each time: an optimizer that loads a state has other groups."""
        if len(self._sheets) == 1:
            return self._sheets[0].groups
        return [group for sheet in self._sheets for group in sheet.groups]

    def put_on(self, change: Change) -> None:
        """Write ``change(index of the group, its value)`` into each group that has the hyperparameter."""
        self.is_on = True
        first = 0
        for sheet in self._sheets:
            sheet.put_on(change, first)
            first += len(sheet.groups)

    def take_off(self) -> None:
        """Put the schedule's own values back. Does nothing where the overlay is not on."""
        self.is_on = False
        for sheet in self._sheets:
            sheet.take_off()

    def close(self) -> None:
        """Once it is off for good: leave nothing on the optimizers."""
        for sheet in self._sheets:
            sheet.close()


class _Sheet:
    """The overlay on one optimizer, off again right after its step: a scheduler may run before anybody looks."""

    def __init__(self, optimizer: Optimizer, name: str) -> None:
        self._optimizer, self._name = optimizer, name
        self._originals: list[tuple[dict[str, Any], Number]] = []
        self._hook: RemovableHandle | None = None

    @property
    def groups(self) -> list[dict[str, Any]]:
        return self._optimizer.param_groups

    def put_on(self, change: Change, first: int) -> None:
        self.take_off()
        if self._hook is None:
            self._hook = self._optimizer.register_step_post_hook(lambda *_: self.take_off())
        written: set[int] = set()
        for index, group in enumerate(self.groups, first):
            value = group.get(self._name)
            if isinstance(value, Tensor):
                if id(value) not in written:  # groups may share one tensor
                    self._write_into(group, value, index, change)
                    written.add(id(value))
            elif value is not None:
                self._originals.append((group, value))
                group[self._name] = change(index, value)

    def take_off(self) -> None:
        while self._originals:
            group, original = self._originals.pop()
            if isinstance(original, Tensor):
                with torch.no_grad():
                    group[self._name].copy_(original)
            else:
                group[self._name] = original

    def close(self) -> None:
        if self._hook is not None:
            self._hook.remove()

    def _write_into(self, group: dict[str, Any], value: Tensor, index: int, change: Change) -> None:
        """Others hold the tensor: its value is changed, not its place."""
        with torch.no_grad():
            original = value.clone()
            self._originals.append((group, original))
            changed = change(index, original)
            value.copy_(changed) if isinstance(changed, Tensor) else value.fill_(changed)


def at_most(value: Number, limit: float | None) -> Number:
    """``value``, or ``limit`` where that is lower."""
    if limit is None:
        return value
    return value.clamp(max=limit) if isinstance(value, Tensor) else min(value, limit)


def ratio(value: Number, base: Number, where_zero: float) -> Number:
    """``value / base``, without waiting for a device; ``where_zero`` where ``base`` is 0."""
    if isinstance(base, Tensor):
        return torch.where(base == 0, where_zero, value / base)
    return value / base if base else where_zero
