"""Did it help? An intervention on trial, until its rule's ``verify`` holds or its time is up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trainguard_rules.durations import Moment
from trainguard_wire.control import Action, Intervention, Parameter
from trainguard_wire.telemetry import Ack


class Undoing(NamedTuple):
    """The action that takes one back."""

    kind: str
    params: Mapping[str, Parameter]


@dataclass
class Trial:
    """``since`` is when the newest action to take effect did, None before the first.

    ``undoings`` take back what took effect and can be taken back, in the order in which it did. ``remedy`` is the id of
    what was decided because it did not help, "" as long as nothing was.
    """

    intervention: Intervention
    since: Moment | None = None
    undoings: list[Undoing] = field(default_factory=list)
    failed: bool = False
    remedy: str = ""

    @property
    def actions(self) -> frozenset[str]:
        """The ids of the intervention's actions."""
        return frozenset(action.id for action in self.intervention.actions)

    def note(self, action: Action, ack: Ack) -> None:
        """An action took effect."""
        if undoing := inverse(action, ack):
            self.undoings.append(undoing)

    def undoing(self, identity: str) -> tuple[Action, ...]:
        """The actions that take back what can be taken back."""
        backwards = enumerate(reversed(self.undoings))
        return tuple(Action(id=f"{identity}.{i}", kind=kind, params=dict(params)) for i, (kind, params) in backwards)


def inverse(action: Action, ack: Ack) -> Undoing | None:
    """What takes an applied action back; None where nothing does, and where it takes itself back.

    What was multiplied is divided, whatever a schedule did meanwhile; what has no factor gets its value again.
    """
    if "recover_over" in action.params:
        return None
    match action.kind:
        case "scale_lr" | "scale_weight_decay" as kind if factor := ack.factor or _ratio(ack):
            return Undoing(kind, {"factor": 1 / factor})
        case "set_lr" if ack.factor:
            return Undoing("scale_lr", {"factor": 1 / ack.factor})
        case "set_lr" if ack.before:
            return Undoing("set_lr", {"lr": ack.before})
        case "set_weight_decay" if ack.before is not None:
            return Undoing("set_weight_decay", {"weight_decay": ack.before})
        case "set_knob" | "scale_knob" if ack.before is not None:
            return Undoing("set_knob", {"name": action.params["name"], "value": ack.before})
    return None


def _ratio(ack: Ack) -> float | None:
    """What was multiplied, as far as two steps can tell."""
    return ack.after / ack.before if ack.before and ack.after and ack.before > 0 and ack.after > 0 else None
