"""Notifications: what the monitor itself sends, on its way from the decision to what became of it.

A trainer has no part in them: they change nothing about the training, so nothing that is under way stands in their
way. The fold only says what is to be sent; how that went comes back as an input, `Delivered`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from trainguard_rules.actions import ACTIONS
from trainguard_rules.deciding.outcomes import outcome_of
from trainguard_wire.control import Action, Intervention
from trainguard_wire.journal import Delivered, Outcome
from trainguard_wire.telemetry import Record


class Notification(NamedTuple):
    """``id`` is that of the action, ``to`` the webhook's name; decided at ``step``, at Unix ``time``."""

    id: str
    to: str
    message: str
    rule: str
    labels: Mapping[str, str]
    reason: str
    step: int
    time: float


class Notifications:
    """Those of one run that nobody has said anything about yet, in the order in which they were decided."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Intervention, Action, Notification]] = {}

    @property
    def unsent(self) -> list[Notification]:
        return [notification for _, _, notification in self._open.values()]

    def __contains__(self, action: object) -> bool:
        return action in self._open

    def add(self, intervention: Intervention, labels: Mapping[str, str], time: float) -> None:
        """Those among the actions of an intervention."""
        for action in intervention.actions:
            if is_ours(action):
                notification = Notification(
                    id=action.id,
                    to=str(action.params.get("to", "")),
                    message=str(action.params.get("message") or intervention.reason),
                    rule=intervention.rule,
                    labels=labels,
                    reason=intervention.reason,
                    step=intervention.step,
                    time=time,
                )
                self._open[action.id] = intervention, action, notification

    def settle(self, delivered: Delivered, step: int, generation: int) -> Outcome | None:
        """What became of one; None where it is not, or no longer, open."""
        found = self._open.pop(delivered.action, None)
        if found is None:
            return None
        record = Record(step=step, generation=generation, time=delivered.time)
        return outcome_of(record, found[0], found[1], delivered.status, delivered.reason)


def is_ours(action: Action) -> bool:
    """Whether the monitor carries an action out, and not the trainer."""
    kind = ACTIONS.get(action.kind)
    return kind is not None and kind.by_monitor


def for_trainer(intervention: Intervention) -> tuple[Action, ...]:
    """The actions that are left for the trainer."""
    return tuple(action for action in intervention.actions if not is_ours(action))
