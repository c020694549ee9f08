"""Actions on which updates are made: those that drop them."""

from collections.abc import Mapping

from trainguard.actuators.base import Done, Params, Pending, Refused
from trainguard.progress import Progress
from trainguard.updating.gate import Gate
from trainguard.updating.skipping import Skipping


class SkipSteps:
    """``skip_steps {count}``: drop the next so many updates. Acknowledged when the first was dropped.

    With how many were still to be dropped when it came, and how many it made of them.
    """

    kind = "skip_steps"

    def __init__(self, skipping: Skipping) -> None:
        self._skipping = skipping

    def act(self, params: Params, at: Progress) -> Pending:
        count = params.whole("count", at_least=1, at_most=1_000_000)
        params.end()
        skipping, step = self._skipping, at.step
        before = skipping.left(step)
        skipping.until = max(skipping.until, step + count)
        after = skipping.left(step)

        def settle(_: Mapping[str, float]) -> Done:
            if skipping.last <= step:
                raise Refused("the update of the next step was not dropped")
            return Done(before=float(before), after=float(after))

        return Pending(settle)


class SetGate:
    """``set_gate {nonfinite=False, factor=None, max_norm=None}``: in place of what the gate stopped before."""

    kind = "set_gate"

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def act(self, params: Params, at: Progress) -> Done:
        nonfinite, factor = params.flag("nonfinite", default=False), params.number_or_none("factor", above=1.0)
        max_norm = params.number_or_none("max_norm", above=0.0)
        params.end()
        self._gate.configure(nonfinite=nonfinite, factor=factor, max_norm=max_norm)
        return Done()
