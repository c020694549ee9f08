"""The actions on weight decay: "raise regularization". Seen in the next step, and acknowledged with what it used."""

from collections.abc import Mapping

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.actuators.bounds import Scaling
from trainguard.levers.weight_decay import WeightDecay
from trainguard.progress import Progress


class ScaleWeightDecay:
    """``scale_weight_decay {factor, min=0.0, max=None}``: multiply it in the groups that have some.

    The bounds are for the largest of all groups; the others keep their ratio to it.
    """

    kind = "scale_weight_decay"

    def __init__(self, weight_decay: WeightDecay) -> None:
        self._weight_decay = weight_decay

    def act(self, params: Params, at: Progress) -> Pending:
        scaling, decay = Scaling.parse(params), self._weight_decay
        now = _largest(decay) * decay.scale
        if not now:
            raise Refused("weight decay was set to 0: no factor makes more of it, set_weight_decay does")
        return _scale(decay, decay.scale * scaling.within(now, "weight decay"))


class SetWeightDecay:
    """``set_weight_decay {weight_decay}``: the largest of all groups; the others keep their ratio to it."""

    kind = "set_weight_decay"

    def __init__(self, weight_decay: WeightDecay) -> None:
        self._weight_decay = weight_decay

    def act(self, params: Params, at: Progress) -> Pending:
        wanted, decay = params.number("weight_decay"), self._weight_decay
        params.end()
        return _scale(decay, wanted / _largest(decay))


def _largest(decay: WeightDecay) -> float:
    if largest := decay.largest:
        return largest
    raise Refused("no param group has a weight decay above 0")


def _scale(decay: WeightDecay, scale: float) -> Pending:
    before, factor = decay.latest, scale / decay.scale if decay.scale else None
    decay.scale = scale

    def settle(_: Mapping[str, float]) -> Done:
        return Done(before=before, after=decay.latest, factor=factor)

    return Pending(settle)
