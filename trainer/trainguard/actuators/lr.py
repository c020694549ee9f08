"""Actions on the learning rate. Both are seen in the next step, and acknowledged with what it really used."""

from collections.abc import Mapping
from typing import cast

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.actuators.bounds import Scaling
from trainguard.learning_rate import Ceiling, LearningRate, Unit
from trainguard.progress import Progress


class ScaleLr:
    """``scale_lr {factor, min=0.0, max=None, recover_over=None}``: multiply the learning rate of all groups.

    From the next step on, for good; with ``recover_over``, coming back by equal ratios over so many steps. ``min``
    and ``max`` bound the learning rate in effect in the first group, at the moment of the action.
    """

    kind = "scale_lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def act(self, params: Params, at: Progress) -> Pending:
        recover_over = params.whole_or_none("recover_over", at_least=1)
        scaling = Scaling.parse(params)
        rate = self._learning_rate
        now = rate.base * rate.scale_at(at.step)
        if now == 0.0 and scaling.low == 0.0:  # a warm-up that starts from zero: scale what comes
            rate.multiply(scaling.factor, at.step, recover_over)
            return _seen_next_step(rate)
        target = scaling.apply(now)
        if target == now and scaling.factor != 1.0:
            raise Refused(f"the learning rate is {now:g} and the action's bound is {scaling.describe_bound()}")
        bounded = target != now * scaling.factor
        rate.multiply(target / now if bounded else scaling.factor, at.step, recover_over)
        return _seen_next_step(rate)


class RewarmLr:
    """``rewarm_lr {start_lr, base_lr, over, unit}``: a ceiling on the learning rate that rises linearly.

    From ``start_lr`` in the next step to ``base_lr`` after ``over`` whole ``steps`` or ``epochs``, then gone.
    Replaces a ceiling that is there.
    """

    kind = "rewarm_lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def act(self, params: Params, at: Progress) -> Pending:
        start_lr, base_lr = params.number("start_lr"), params.number("base_lr", above=0.0)
        over, unit = params.whole("over", at_least=1), cast(Unit, params.choice("unit", "steps", "epochs"))
        params.end()
        if start_lr > base_lr:
            raise Refused(f"start_lr is {start_lr:g}, wanted no more than base_lr, which is {base_lr:g}")
        since = at.step if unit == "steps" else at.epoch
        if since is None:
            raise Refused("unit is 'epochs', but this loop hands no epoch= to the guard")
        self._learning_rate.ceiling = Ceiling(start_lr, base_lr, over, unit, since)
        return _seen_next_step(self._learning_rate)


def _seen_next_step(rate: LearningRate) -> Pending:
    before = rate.latest

    def settle(_: Mapping[str, float]) -> Done:
        return Done(before=before, after=rate.latest)

    return Pending(settle)
