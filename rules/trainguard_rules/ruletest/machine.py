"""What a simulated trainer acts upon: a learning rate, a weight decay, knobs, a ring of checkpoints. Numbers only.

It does what the actuators of the real trainer do, and refuses what they refuse, in their words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.01


class Refused(Exception):
    """The reason is the message."""


class Done(NamedTuple):
    """What is acknowledged at once."""

    before: float | None = None
    after: float | None = None
    checkpoint: int | None = None


class Later(NamedTuple):
    """What can only be seen in the next step: the value before, how to see the one after, and the factor."""

    before: float | None
    after: Callable[[], float | None]
    factor: float | None = None


@dataclass
class Dial:
    """A knob: its value, and the bounds it was registered with."""

    value: float
    min: float
    max: float

    def scaled(self, name: str, params: Mapping[str, Any]) -> float:
        if self.value <= 0:
            raise Refused(
                f"knob {name!r} is {self.value:g}: only what is above 0 can be scaled, set_knob gives it a value"
            )
        low, high = max(params.get("min", 0.0), self.min), min(params.get("max", self.max), self.max)
        return _scaled(self.value, {**params, "min": low, "max": high}, f"knob {name!r}")


@dataclass
class Machine:
    """``step`` and ``epoch`` of the step just done; ``generation`` counts the restores.

    ``checkpoints`` maps (generation, step) to whether it is good: the newest is the greatest.
    """

    step: int = 0
    epoch: int | None = None
    generation: int = 0
    stopped: bool = False
    paused: bool = False
    skips_until: int = 0
    scale: float = 1.0
    weight_decay: float = WEIGHT_DECAY
    knobs: dict[str, Dial] = field(default_factory=dict)
    checkpoints: dict[tuple[int, int], bool] = field(default_factory=dict)
    _recoveries: list["_Recovery"] = field(default_factory=list)
    _ceiling: "_Ceiling | None" = None

    @property
    def learning_rate(self) -> float:
        """In effect in the step just done, or about to be. Its overlay was laid when one step less was done."""
        done = max(0, self.step - 1)
        limit = None if self._ceiling is None else self._ceiling.limit(done, self.epoch)
        rate = self._scaled_rate(done)
        return rate if limit is None else min(rate, limit)

    def _scaled_rate(self, steps_done: int) -> float:
        """For the step after ``steps_done``, but for the ceiling."""
        return LEARNING_RATE * self.scale * prod(recovery.remaining(steps_done) for recovery in self._recoveries)

    def save(self) -> bool:
        """Save a candidate; false where the state of this step is saved already."""
        if (self.generation, self.step) in self.checkpoints:
            return False
        self.checkpoints[self.generation, self.step] = False
        return True

    def promote(self, checkpoint: int, generation: int) -> None:
        for at in self.checkpoints:
            if at[1] == checkpoint and at[0] <= generation:
                self.checkpoints[at] = True

    def act(self, kind: str, params: Mapping[str, Any]) -> Done | Later:
        """Carry out one action. Raises `Refused`. A kind that changes no number here is simply done."""
        match kind:
            case "restore_checkpoint":
                return self._restore(params.get("before_step"))
            case "scale_lr":
                return self._scale_lr(params)
            case "set_lr":
                return self._set_lr(params)
            case "rewarm_lr":
                return self._rewarm_lr(params)
            case "scale_weight_decay" | "set_weight_decay":
                return self._change_weight_decay(params)
            case "set_knob" | "scale_knob":
                return self._turn(params)
            case "skip_steps":
                return self._skip(params["count"])
            case "pause":
                self.paused = True
            case "resume" if not self.paused:
                raise Refused("the run is not paused")
            case "resume":
                self.paused = False
            case "diagnose":
                return Later(None, lambda: None)
            case "stop":
                self.stopped = True
        return Done()

    def _restore(self, before_step: int | None) -> Done:
        found = [at for at, good in self.checkpoints.items() if good and (before_step is None or at[1] < before_step)]
        if not found:
            older = "" if before_step is None else f" older than step {before_step}"
            raise Refused(f"there is no good and undamaged checkpoint{older}")
        self.generation += 1
        return Done(checkpoint=max(found)[1])

    def _scale_lr(self, params: Mapping[str, Any]) -> Later:
        before, now = self.learning_rate, self._scaled_rate(self.step)
        factor = _scaled(now, params, "the learning rate") / now
        self._multiply(factor, params.get("recover_over"))
        return Later(before, lambda: self.learning_rate, factor)

    def _set_lr(self, params: Mapping[str, Any]) -> Later:
        """There is no schedule here, so a value that is held is one like another."""
        before = self.learning_rate
        self.scale, self._ceiling = 1.0, None
        self._recoveries.clear()
        self._multiply(params["lr"] / LEARNING_RATE, params.get("recover_over"))
        factor = None if params.get("hold") else params["lr"] / before
        return Later(before, lambda: self.learning_rate, factor)

    def _multiply(self, factor: float, over: int | None) -> None:
        if over is None:
            self.scale *= factor
        else:
            self._recoveries.append(_Recovery(factor, over, self.step))

    def _rewarm_lr(self, params: Mapping[str, Any]) -> Later:
        since = self.step if params["unit"] == "steps" else self.epoch
        if params["start_lr"] > params["base_lr"]:
            raise Refused(
                f"start_lr is {params['start_lr']:g}, wanted no more than base_lr, which is {params['base_lr']:g}"
            )
        if since is None:
            raise Refused("unit is 'epochs', but this loop hands no epoch= to the guard")
        before = self.learning_rate
        self._ceiling = _Ceiling(params["start_lr"], params["base_lr"], params["over"], params["unit"], since)
        return Later(before, lambda: self.learning_rate)

    def _change_weight_decay(self, params: Mapping[str, Any]) -> Later:
        before, wanted = self.weight_decay, params.get("weight_decay")
        if wanted is None and not before:
            raise Refused("weight decay was set to 0: no factor makes more of it, set_weight_decay does")
        self.weight_decay = _scaled(before, params, "weight decay") if wanted is None else wanted
        return Later(before, lambda: self.weight_decay, self.weight_decay / before if before else None)

    def _turn(self, params: Mapping[str, Any]) -> Later:
        name = params["name"]
        if name not in self.knobs:
            raise Refused(f"there is no knob {name!r}; there are {', '.join(self.knobs)}")
        dial = self.knobs[name]
        before, value = dial.value, params.get("value")
        if value is None:
            value = dial.scaled(name, params)
        elif not dial.min <= value <= dial.max:
            raise Refused(f"value is {value:g}, and knob {name!r} goes from {dial.min:g} to {dial.max:g}")
        dial.value = value
        return Later(before, lambda: dial.value)

    def _skip(self, count: int) -> Later:
        before = max(0, self.skips_until - self.step)
        self.skips_until = max(self.skips_until, self.step + count)
        after = self.skips_until - self.step
        return Later(before, lambda: after)


class _Recovery(NamedTuple):
    """As the trainer's: a factor that gives itself up, by equal ratios, over ``over`` steps."""

    factor: float
    over: int
    since: int

    def remaining(self, steps_done: int) -> float:
        progress = min(1.0, max(0, steps_done - self.since) / self.over)
        return float(self.factor ** (1.0 - progress))


class _Ceiling(NamedTuple):
    """As the trainer's: a limit that rises from ``start_lr`` to ``base_lr``, then is gone."""

    start_lr: float
    base_lr: float
    over: int
    unit: str
    since: int

    def limit(self, steps_done: int, epoch: int | None) -> float | None:
        now = steps_done if self.unit == "steps" else self.since if epoch is None else epoch
        progress = max(0, now - self.since)
        if progress >= self.over:
            return None
        return self.start_lr + (self.base_lr - self.start_lr) * progress / self.over


def _scaled(now: float, params: Mapping[str, Any], what: str) -> float:
    """Multiplied, within the bounds. A bound never moves it the other way."""
    factor, low, high = params["factor"], params.get("min", 0.0), params.get("max")
    if factor < 1.0:
        target, bound = min(now, max(now * factor, low)), f"min {low:g}"
    else:
        target, bound = now * factor if high is None else max(now, min(now * factor, high)), f"max {high}"
    if target == now and factor != 1.0:
        raise Refused(f"{what} is {now:g} and the action's bound is {bound}")
    return float(target)
