"""The learning rate, as trainguard changes it: an overlay on whatever the scheduler says.

In effect in a step is min(lr * scale, ceiling). ``lr`` is the scheduler's own value, or the one that `set` holds
in its place; ``scale`` the product of factors that last and of others that give themselves up; ``ceiling`` a
warm-up. Where none of these says anything, the param groups are not touched at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from trainguard.levers.overlay import Number, Overlay, at_most, ratio

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


@dataclass(frozen=True)
class Hold:
    """In place of the scheduler's value: ``lr`` in the first group, in the others as ``ratios`` has it."""

    lr: float
    ratios: tuple[float, ...]

    def value(self, index: int) -> float:
        return self.lr * (self.ratios[index] if index < len(self.ratios) else 1.0)


@dataclass(frozen=True)
class Target:
    """The next step is to use ``lr``. Which factor that takes is known once the scheduler has said its own value.

    ``before`` is the state to go back to where no factor does it, because the scheduler's value is 0.
    """

    lr: float
    recover_over: int | None
    since: int
    before: dict[str, Any]


class LearningRate:
    """The learning rates of all param groups. ``seen`` and ``seen_scale`` are of the first group, in the last step.

    ``seen`` is None before the first step; ``seen_scale`` is the factor between the scheduler's own value and it.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.overlay, self._first = Overlay(optimizers, "lr"), optimizers[0]
        self.exists = all(isinstance(group.get("lr"), int | float | Tensor) for group in self.overlay.groups)
        self.scale = 1.0
        self.ceiling: Ceiling | None = None
        self.seen: Number | None = None
        self.seen_scale: Number = 1.0
        self._recoveries: list[Recovery] = []
        self._held: Hold | None = None
        self._target: Target | None = None

    @property
    def base(self) -> float:
        """The scheduler's own value for the first group. Only meaningful while the overlay is off."""
        return float(self.overlay.groups[0]["lr"])

    @property
    def latest(self) -> float:
        """`seen` as a float; before the first step, what it would be."""
        return float(self.seen) if self.seen is not None else self.base * self.scale

    def upcoming(self, steps_done: int) -> float:
        """What the next step will use if the scheduler stays where it is, but for a ceiling."""
        lr = self._target.lr if self._target else self._held.lr if self._held else self.base
        return lr * self.scale_at(steps_done)

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

    def set(self, lr: float, steps_done: int, recover_over: int | None = None) -> None:
        """The next step uses ``lr`` in the first group. All that lay over the scheduler before is gone."""
        before = self._target.before if self._target else self.state_dict()
        self.load_state_dict(_NOTHING)
        self._target = Target(lr, recover_over, steps_done, before)

    def hold(self, lr: float) -> None:
        """From the next step on use ``lr`` in the first group, whatever the scheduler says."""
        lrs = [float(group["lr"]) for group in self.overlay.groups]
        if not lrs[0]:
            lrs = [float(group.get("initial_lr", 1.0)) for group in self.overlay.groups]
        self.load_state_dict(_NOTHING)
        self._held = Hold(lr, tuple(each / lrs[0] if lrs[0] else 1.0 for each in lrs))

    def put_on(self, steps_done: int, epoch: int | None) -> None:
        """Begin the step after ``steps_done``: bring the overlay into the groups, and look at the result."""
        if not self.exists:
            return
        if self.overlay.is_on:
            self.overlay.take_off()
        if self._target is not None:
            self._reach(self._target)
        limit = None if self.ceiling is None else self._current_limit(self.ceiling, steps_done, epoch)
        scale = self.scale_at(steps_done) if self._recoveries else self.scale
        if scale == 1.0 and limit is None and self._held is None:
            self.seen, self.seen_scale = self._look(), 1.0
        else:
            self._write(scale, limit, self._held)

    def state_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "scale": self.scale,
            "ceiling": asdict(self.ceiling) if self.ceiling else None,
            "recoveries": [asdict(recovery) for recovery in self._recoveries],
            "hold": {"lr": self._held.lr, "ratios": list(self._held.ratios)} if self._held else None,
            "target": asdict(self._target) if self._target else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError and ValueError for what is no state, and changes nothing then."""
        scale, ceiling, held, target = float(state["scale"]), state["ceiling"], state.get("hold"), state.get("target")
        recoveries = [Recovery(**recovery) for recovery in state.get("recoveries", ())]
        self.ceiling, self._held, self._target = (
            Ceiling(**ceiling) if ceiling else None,
            Hold(float(held["lr"]), tuple(held["ratios"])) if held else None,
            Target(**target) if target else None,
        )
        self.scale, self._recoveries = scale, recoveries

    def _reach(self, target: Target) -> None:
        base, self._target = self.base, None
        if base:
            self.multiply(target.lr / base, target.since, target.recover_over)
        else:
            self.load_state_dict(target.before)

    def _current_limit(self, ceiling: Ceiling, steps_done: int, epoch: int | None) -> float | None:
        limit = ceiling.limit(steps_done, epoch)
        if limit is None:
            self.ceiling = None
        return limit

    def _write(self, scale: float, limit: float | None, held: Hold | None) -> None:
        base = self._look()
        if held is None:
            self.overlay.put_on(lambda _, lr: at_most(lr * scale, limit))
        else:
            self.overlay.put_on(lambda index, _: at_most(held.value(index) * scale, limit))
        self.seen = self._look()
        self.seen_scale = scale if held is None and limit is None else ratio(self.seen, base, scale)

    def _look(self) -> Number:
        lr: Number = self._first.param_groups[0]["lr"]
        return lr.detach().clone() if isinstance(lr, Tensor) else lr


_NOTHING = {"scale": 1.0, "ceiling": None}
