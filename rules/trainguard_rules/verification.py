"""Did it help? An intervention on trial, until its rule's ``verify`` holds or its time is up."""

from dataclasses import dataclass

from trainguard_rules.durations import Moment
from trainguard_wire.control import Action, Intervention, Parameter


@dataclass
class Trial:
    """``since`` is when the last action took effect, None while some are still awaited.

    ``changed`` holds, for each action that changed a number, its kind and the factor it changed it by.
    """

    intervention: Intervention
    since: Moment | None = None
    changed: tuple[tuple[str, float], ...] = ()
    failed: bool = False

    @property
    def actions(self) -> frozenset[str]:
        """The ids of the intervention's actions."""
        return frozenset(action.id for action in self.intervention.actions)

    def note(self, kind: str, before: float | None, after: float | None) -> None:
        """An action took effect."""
        if before and after and before > 0 and after > 0:
            self.changed = (*self.changed, (kind, after / before))

    def undoing(self, identity: str) -> tuple[Action, ...]:
        """The actions that take back what can be taken back."""
        actions: list[Action] = []
        for kind, factor in reversed(self.changed):
            params: dict[str, Parameter] = {"factor": 1 / factor}
            actions.append(Action(id=f"{identity}.{len(actions)}", kind=kind, params=params))
        return tuple(actions)
