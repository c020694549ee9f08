"""Actions on knobs: bounded by the rule, and again by whoever registered them. Acknowledged with what was read."""

from collections.abc import Mapping

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.actuators.bounds import Scaling
from trainguard.levers.knobs import Knob, Knobs
from trainguard.progress import Progress


class SetKnob:
    """``set_knob {name, value}``: refused where the value is out of the knob's bounds."""

    kind = "set_knob"

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs

    def act(self, params: Params, at: Progress) -> Pending:
        name, value = params.text("name"), params.finite("value")
        params.end()
        knob = _known(self._knobs, name)
        if not knob.min <= value <= knob.max:
            raise Refused(f"value is {value:g}, and knob {name!r} goes from {knob.min:g} to {knob.max:g}")
        return _turn(self._knobs, name, value)


class ScaleKnob:
    """``scale_knob {name, factor, min=None, max=None}``: as far as these bounds and the knob's own let it."""

    kind = "scale_knob"

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs

    def act(self, params: Params, at: Progress) -> Pending:
        name = params.text("name")
        scaling = Scaling.parse(params)
        knob = _known(self._knobs, name)
        now = knob.value
        if now <= 0:
            raise Refused(f"knob {name!r} is {now:g}: only what is above 0 can be scaled, set_knob gives it a value")
        wanted = now * scaling.within(now, f"knob {name!r}")
        reached = min(max(wanted, knob.min), knob.max)
        if wanted != now and (reached - now) * (wanted - now) <= 0:  # nowhere, or the other way
            raise Refused(f"knob {name!r} is {now:g}, and it goes from {knob.min:g} to {knob.max:g}")
        return _turn(self._knobs, name, reached)


def _known(knobs: Knobs, name: str) -> Knob:
    if name not in knobs:
        raise Refused(f"there is no knob {name!r}; there are {', '.join(knobs)}")
    return knobs[name]


def _turn(knobs: Knobs, name: str, value: float) -> Pending:
    before = knobs[name].value
    knobs.turn(name, value)
    turned = knobs[name].value

    def settle(_: Mapping[str, float]) -> Done:
        seen = knobs[name].value
        if seen != turned:
            raise Refused(f"it was turned to {turned:g}, but the step saw {seen:g}: something else turns knob {name!r}")
        return Done(before=before, after=seen)

    return Pending(settle)
