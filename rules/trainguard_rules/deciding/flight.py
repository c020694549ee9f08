"""Interventions under way: issued, not yet fully acknowledged, not yet expired. One at a time in a run."""

from collections.abc import Iterator

from trainguard_wire.control import Action, Intervention


class Flight:
    """What is in the air, in the order it was issued."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Intervention, dict[str, Action]]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def interventions(self) -> list[Intervention]:
        return [intervention for intervention, _ in self._open.values()]

    @property
    def newest(self) -> Intervention | None:
        return next(reversed(self.interventions), None)

    def add(self, intervention: Intervention) -> None:
        self._open[intervention.id] = (intervention, {action.id: action for action in intervention.actions})

    def settle(self, action_id: str) -> tuple[Intervention, Action] | None:
        """Take one action out of the air; None where it is not (any more) one of ours."""
        for intervention, actions in self._open.values():
            action = actions.pop(action_id, None)
            if action is not None:
                if not actions:
                    del self._open[intervention.id]
                return intervention, action
        return None

    def lose(self, step: int | None = None) -> Iterator[tuple[Intervention, Action]]:
        """Give up what expired before ``step``, or everything."""
        for intervention, actions in list(self._open.values()):
            if step is None or step > intervention.expires_step:
                del self._open[intervention.id]
                for action in actions.values():
                    yield intervention, action
