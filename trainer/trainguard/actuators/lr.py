"""Actions on the learning rate. All are seen in the next step, and acknowledged with what it really used."""

from collections.abc import Mapping
from typing import cast

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.actuators.bounds import Scaling
from trainguard.levers.learning_rate import Ceiling, LearningRate, Unit
from trainguard.progress import Progress


class ScaleLr:
    """``scale_lr {factor, min=0.0, max=None, recover_over=None}``: multiply the learning rate of all groups.

    From the next step on, for good; with ``recover_over``, coming back by equal ratios over so many steps. ``min``
    and ``max`` bound the learning rate of the first group under all factors, at the moment of the action; a ceiling of
    `RewarmLr` is not looked at.
    """

    kind = "scale_lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def act(self, params: Params, at: Progress) -> Pending:
        recover_over = params.whole_or_none("recover_over", at_least=1)
        scaling = Scaling.parse(params)
        rate = self._learning_rate
        now = rate.upcoming(at.step)
        # A warm-up that starts from zero has nothing to bound yet: scale what comes.
        factor = scaling.factor if now == 0.0 and scaling.low == 0.0 else scaling.within(now, "the learning rate")
        rate.multiply(factor, at.step, recover_over)
        return _seen_next_step(rate, factor)


class SetLr:
    """``set_lr {lr, hold=False, recover_over=None}``: the next step uses ``lr`` in the first group.

    The other groups keep their ratio to it. The schedule goes on from there, under the factor that takes; with
    ``hold`` it is not asked any more. What lay over the learning rate before is gone. With ``recover_over`` the
    factor gives itself up, by equal ratios over so many steps.
    """

    kind = "set_lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def act(self, params: Params, at: Progress) -> Pending:
        lr, hold = params.number("lr", above=0.0), params.flag("hold", default=False)
        recover_over = params.whole_or_none("recover_over", at_least=1)
        params.end()
        if hold and recover_over:
            raise Refused("recover_over with hold: a value that is held does not come back")
        rate, before, scale_before = self._learning_rate, self._learning_rate.latest, self._learning_rate.seen_scale
        if hold:
            rate.hold(lr)
        else:
            rate.set(lr, at.step, recover_over)

        def settle(_: Mapping[str, float]) -> Done:
            if not rate.latest:
                raise Refused(f"the scheduler's own learning rate is 0: no factor makes {lr:g} of it")
            factor = None if hold else float(rate.seen_scale) / float(scale_before)
            return Done(before=before, after=rate.latest, factor=factor)

        return Pending(settle)


class RewarmLr:
    """``rewarm_lr {start_lr, base_lr, over, unit="epochs"}``: a ceiling on the learning rate that rises linearly.

    From ``start_lr`` in the next step to ``base_lr`` after ``over`` whole ``steps`` or ``epochs``, then gone.
    Replaces a ceiling that is there.
    """

    kind = "rewarm_lr"

    def __init__(self, learning_rate: LearningRate) -> None:
        self._learning_rate = learning_rate

    def act(self, params: Params, at: Progress) -> Pending:
        start_lr, base_lr = params.number("start_lr", above=0.0), params.number("base_lr", above=0.0)
        over, unit = (
            params.whole("over", at_least=1),
            cast(Unit, params.choice("unit", "steps", "epochs", default="epochs")),
        )
        params.end()
        if start_lr > base_lr:
            raise Refused(f"start_lr is {start_lr:g}, wanted no more than base_lr, which is {base_lr:g}")
        since = at.step if unit == "steps" else at.epoch
        if since is None:
            raise Refused("unit is 'epochs', but this loop hands no epoch= to the guard")
        self._learning_rate.ceiling = Ceiling(start_lr, base_lr, over, unit, since)
        return _seen_next_step(self._learning_rate)


def _seen_next_step(rate: LearningRate, factor: float | None = None) -> Pending:
    before = rate.latest

    def settle(_: Mapping[str, float]) -> Done:
        return Done(before=before, after=rate.latest, factor=factor)

    return Pending(settle)
