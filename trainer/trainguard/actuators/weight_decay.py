"""The action on weight decay: "raise regularization"."""

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.actuators.bounds import Scaling
from trainguard.progress import Progress
from trainguard.weight_decay import WeightDecay


class ScaleWeightDecay:
    """``scale_weight_decay {factor, min=0.0, max=None}``: multiply it in the groups that have some.

    The bounds hold for each group. Acknowledged with the largest of all groups, before and in the next step.
    AdamW decays by lr * weight_decay: a scaled learning rate scales its decay as well.
    """

    kind = "scale_weight_decay"

    def __init__(self, weight_decay: WeightDecay) -> None:
        self._weight_decay = weight_decay

    def act(self, params: Params, at: Progress) -> Pending:
        scaling = Scaling.parse(params)
        now = self._weight_decay.positive()
        if not now:
            raise Refused("no param group has a weight decay above 0")
        targets = {index: scaling.apply(value) for index, value in now.items()}
        if targets == now and scaling.factor != 1.0:
            raise Refused(f"weight decay is {max(now.values()):g} and the action's bound is {scaling.describe_bound()}")
        before = self._weight_decay.largest
        self._weight_decay.write(targets)
        written = self._weight_decay.largest
        return Pending(lambda _: self._settle(before, written))

    def _settle(self, before: float | None, written: float | None) -> Done:
        seen = self._weight_decay.seen
        if seen != written:
            raise Refused(f"{written} was written, but the step saw {seen}: something else writes weight_decay")
        return Done(before=before, after=seen)
