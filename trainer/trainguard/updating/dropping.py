"""How an update is dropped: parameters and optimizer state stay what they were.

On the CPU the host knows the verdict before the optimizer's step, and does not make it. On an accelerator the
verdict is a tensor that nobody waits for. An optimizer with ``fused=True`` takes it as ``found_inf``, torch's word
for it, and its kernels skip everything (`FoundInf`). For any other, the tensors that the step will write are copied
before it and selected after it (`Selection`). Selected, not multiplied: 0 x NaN is NaN. The copies cost their memory
and two passes over it, in each step while the gate is on.

Where neither will do, the host waits for the verdict: in a parameter's first step, which makes its state; for state
that the optimizer counts on the host (AdamW without ``fused`` or ``capturable``); under a gradient scaler that waits
for the accelerator anyway. A first step can come at any time: after a restore, or for a group that was added.

Numbers that an optimizer counts in its param groups, as Prodigy does, are not looked at.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer


class Route(Protocol):
    """One optimizer's way to have its step undone by a verdict on the device: 1.0 drops, 0.0 does not."""

    def before(self, verdict: Tensor) -> None: ...

    def after(self) -> None: ...


class FoundInf:
    """By torch's protocol for fused optimizers. A gradient scaler's own finding counts as well."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer: Any = optimizer

    def before(self, verdict: Tensor) -> None:
        self._verdict = self._optimizer.found_inf = verdict
        self._hook = self._optimizer.register_step_pre_hook(self._join)

    def after(self) -> None:
        self._hook.remove()
        vars(self._optimizer).pop("found_inf", None)

    def _join(self, *_: Any) -> None:
        """Under a scaler: it has put its own finding in place of the verdict."""
        self._optimizer.found_inf = torch.maximum(self._optimizer.found_inf, self._verdict)


class Selection:
    """By copies of what the step writes: the parameters that have a gradient, and their state."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def before(self, verdict: Tensor) -> None:
        self._verdict = verdict.bool()
        self._written = list(_written(self._optimizer))
        self._kept = [tensor.detach().clone() for tensor in self._written]

    def after(self) -> None:
        with torch.no_grad():
            for tensor, kept in zip(self._written, self._kept, strict=True):
                torch.where(self._verdict.to(tensor.device), kept, tensor, out=tensor)
        self._written, self._kept = [], []


class Dropping:
    """Drops one step of the optimizers, or lets it pass.

    ``is_prepared``: for the step to come; ``known``: the host knows that it is dropped. From a step that passed while
    the host waited it learns which parameters have no state, as under SGD without momentum.
    """

    def __init__(self, optimizers: Sequence[Optimizer], scaler: Any) -> None:
        self._optimizers = tuple(optimizers)
        self._scaled = scaler is not None and scaler.is_enabled()
        self._routes: list[Route] = []
        self._stateless: frozenset[Tensor] = frozenset()
        self._is_learning = False
        self.is_prepared = self.known = False

    def before(self, verdict: Tensor) -> None:
        """Prepare for a step with this verdict: 1.0 drops, 0.0 does not."""
        self._undo()
        self.is_prepared = True
        routes = [] if verdict.is_cpu else list(self._find_routes())
        if len(routes) < len(self._optimizers):
            self.known = bool(verdict)
            self._is_learning = not (verdict.is_cpu or self.known)
            return
        for route in routes:
            self._routes.append(route)
            route.before(verdict)

    def drop(self) -> None:
        """Prepare for a step that is dropped in any case."""
        self._undo()
        self.is_prepared = self.known = True

    def clear(self) -> None:
        """Drop a known one by taking the gradients away, for a framework that makes the step itself."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def after(self) -> None:
        """Once the step is made, or will not be."""
        self.is_prepared = self.known = False
        self._undo()
        if self._is_learning:
            self._is_learning = False
            self._stateless = frozenset(p for optimizer in self._optimizers for p in _without_state(optimizer))

    def _undo(self) -> None:
        while self._routes:
            self._routes.pop().after()

    def _find_routes(self) -> Iterator[Route]:
        """One for each optimizer that has one."""
        for optimizer in self._optimizers:
            if any(parameter not in self._stateless for parameter in _without_state(optimizer)):
                continue
            if all(group.get("fused") for group in optimizer.param_groups):
                yield FoundInf(optimizer)
            elif not self._scaled and _is_selectable(optimizer):
                yield Selection(optimizer)


def _is_selectable(optimizer: Optimizer) -> bool:
    """Whether all state that the step writes is in tensors beside the parameters."""
    return all(
        value is None or (isinstance(value, Tensor) and value.device == parameter.device)
        for parameter in _moving(optimizer)
        for value in optimizer.state.get(parameter, {}).values()
    )


def _without_state(optimizer: Optimizer) -> Iterator[Tensor]:
    """The parameters that move and have no state yet, or never have one."""
    if len(optimizer.state) < sum([len(group["params"]) for group in optimizer.param_groups]):
        yield from (parameter for parameter in _moving(optimizer) if not optimizer.state.get(parameter))


def _written(optimizer: Optimizer) -> Iterator[Tensor]:
    for parameter in _moving(optimizer):
        yield parameter
        yield from (value for value in optimizer.state.get(parameter, {}).values() if value is not None)


def _moving(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from (parameter for parameter in group["params"] if parameter.grad is not None)
