"""The learning rate, as trainguard changes it: an overlay that is on only while the optimizer steps.

Nine of 21 schedulers write ``group["lr"]`` anew on their next step, and undo a plain change; others compute the
next value from the last, and would compound it. So the groups carry the scheduler's own value at all times
except during ``optimizer.step()``: `put_on` writes min(lr * scale, ceiling), `take_off` puts the scheduler's
value back. Without a scale or a ceiling the groups are not touched at all.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Unit = Literal["steps", "epochs"]


@dataclass(frozen=True)
class Ceiling:
    """A warm-up: a limit that rises from ``start_lr`` to ``base_lr`` over ``over`` whole steps or epochs.

    ``since`` is the number of steps finished, or the epoch, when it began.
    """

    start_lr: float
    base_lr: float
    over: int
    unit: Unit
    since: int

    def limit(self, steps_done: int, epoch: int | None) -> float | None:
        """The limit now; None once the warm-up is over. An epoch that is not known counts as no progress."""
        now = steps_done if self.unit == "steps" else self.since if epoch is None else epoch
        progress = max(0, now - self.since)
        if progress >= self.over:
            return None
        return self.start_lr + (self.base_lr - self.start_lr) * progress / self.over


@dataclass(frozen=True)
class Recovery:
    """A factor that gives itself up, by equal ratios, over ``over`` steps since ``since`` were done."""

    factor: float
    over: int
    since: int

    def remaining(self, steps_done: int) -> float | None:
        """The factor now; None once nothing is left of it."""
        progress = max(0, steps_done - self.since) / self.over
        return None if progress >= 1.0 else float(self.factor ** (1.0 - progress))


class LearningRate:
    """The learning rates of all groups of the optimizers under a factor ``scale`` and an optional ``ceiling``."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        self.scale = 1.0
        self.ceiling: Ceiling | None = None
        self._recoveries: list[Recovery] = []
        self._seen: float | Tensor | None = None
        self._seen_scale = 1.0
        self._originals: list[tuple[dict[str, Any], float | Tensor]] = []

    def scale_at(self, steps_done: int) -> float:
        """The factor for the step after ``steps_done``: what lasts, and what is left of what recovers."""
        scale, going = self.scale, []
        for recovery in self._recoveries:
            remaining = recovery.remaining(steps_done)
            if remaining is not None:
                scale *= remaining
                going.append(recovery)
        self._recoveries = going
        return scale

    def multiply(self, factor: float, steps_done: int, recover_over: int | None = None) -> None:
        """From the next step on; for good, or coming back over so many steps."""
        if recover_over is None:
            self.scale *= factor
        else:
            self._recoveries.append(Recovery(factor, recover_over, steps_done))

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Read anew each time: an optimizer that loads a state has other groups."""
        if len(self._optimizers) == 1:
            return self._optimizers[0].param_groups
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    @property
    def exists(self) -> bool:
        return all(isinstance(group.get("lr"), int | float | Tensor) for group in self._groups)

    @property
    def base(self) -> float:
        """The scheduler's own value for the first group. Only meaningful while the overlay is off."""
        return float(self._groups[0]["lr"])

    @property
    def seen(self) -> float | Tensor | None:
        """What the first group's learning rate was in the last step; None before the first."""
        return self._seen

    @property
    def seen_scale(self) -> float:
        """The factor by which it differed from the scheduler's own."""
        return self._seen_scale

    @property
    def latest(self) -> float:
        """`seen` as a float; before the first step, what it would be."""
        return float(self._seen) if self._seen is not None else self.base * self.scale

    def put_on(self, steps_done: int, epoch: int | None) -> None:
        """Begin the step after ``steps_done``: bring the overlay into the groups, and look at the result."""
        self.take_off()
        if not self.exists:
            return
        limit = self._current_limit(steps_done, epoch)
        scale = self.scale_at(steps_done) if self._recoveries else self.scale
        if scale != 1.0 or limit is not None:
            base = self.base if limit is not None else 0.0
            self._write(scale, limit)
            self._look()
            self._seen_scale = self.latest / base if base else scale
        else:
            self._look()
            self._seen_scale = 1.0

    def take_off(self) -> None:
        """Put the scheduler's own values back. Does nothing where the overlay is not on."""
        while self._originals:
            group, original = self._originals.pop()
            if isinstance(original, Tensor):
                with torch.no_grad():
                    group["lr"].copy_(original)
            else:
                group["lr"] = original

    def state_dict(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "ceiling": asdict(self.ceiling) if self.ceiling else None,
            "recoveries": [asdict(recovery) for recovery in self._recoveries],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        ceiling = state["ceiling"]
        self.scale, self.ceiling = float(state["scale"]), Ceiling(**ceiling) if ceiling else None
        self._recoveries = [Recovery(**recovery) for recovery in state.get("recoveries", ())]

    def _current_limit(self, steps_done: int, epoch: int | None) -> float | None:
        if self.ceiling is None:
            return None
        limit = self.ceiling.limit(steps_done, epoch)
        if limit is None:
            self.ceiling = None
        return limit

    def _write(self, scale: float, limit: float | None) -> None:
        written: set[int] = set()
        for group in self._groups:
            lr = group["lr"]
            if isinstance(lr, Tensor):
                if id(lr) not in written:  # groups may share one tensor
                    self._write_tensor(group, lr, scale, limit)
                    written.add(id(lr))
                continue
            self._originals.append((group, lr))
            scaled = lr * scale
            group["lr"] = scaled if limit is None else min(scaled, limit)

    def _write_tensor(self, group: dict[str, Any], lr: Tensor, scale: float, limit: float | None) -> None:
        with torch.no_grad():
            self._originals.append((group, lr.clone()))
            lr.mul_(scale)
            if limit is not None:
                lr.clamp_(max=limit)

    def _look(self) -> None:
        lr = self._groups[0]["lr"]
        self._seen = lr.detach().clone() if isinstance(lr, Tensor) else lr
