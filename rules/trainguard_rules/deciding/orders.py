"""Orders: what a person asks for by hand, on the way that a rule's interventions go.

A person knows what they do: no mode, cooldown, limit or settling time stands in the way of an order. What can't be
done can't be done, though (``hold_unsupported``), and two interventions that change the training do not go together
(``hold_in_flight``). What only stops, pauses, resumes, saves or looks goes through whatever is under way: a paused
trainer could not even finish that.
"""

from collections.abc import Collection

from pydantic import ValidationError

from trainguard_rules.actions import ACTIONS
from trainguard_rules.deciding.hindsight import in_force
from trainguard_rules.deciding.interventions import Interventions, identity_of
from trainguard_rules.deciding.notifications import is_ours
from trainguard_rules.deciding.policy import Answer, under_way, unsupported
from trainguard_rules.deciding.scene import Scene
from trainguard_rules.durations import Moment
from trainguard_rules.rulebook import MANUAL, PlannedAction
from trainguard_wire.control import Action, Intervention
from trainguard_wire.journal import Decision, Order

_BESIDE_ALL = frozenset({"stop", "pause", "resume", "save_checkpoint", "diagnose"})


class Orders:
    """The orders of one run, each taken once. ``answers`` holds what was decided, by the order's id."""

    def __init__(self, interventions: Interventions) -> None:
        self.answers: dict[str, Decision] = {}
        self._interventions = interventions

    def take(self, order: Order, offered: Collection[str] | None, before_step: int, scene: Scene | None) -> None:
        """Decide on an order. A restore goes back to before ``before_step``. Without a ``scene`` nothing is decided."""
        if scene is None or order.id in self.answers:
            return
        verdict, reason = answer(order, offered, self._interventions.flight.newest, scene.now)
        intervention = plan(order, scene, before_step, reason)
        if verdict == "act" and (told := self._interventions.issue(None, intervention, scene.now.time)):
            scene.output.control.append(told)
        self.answers[order.id] = decision = Decision(
            step=scene.now.step,
            generation=scene.generation,
            time=scene.now.time,
            rule=MANUAL,
            verdict=verdict,
            reason=reason,
            onset=before_step,
            intervention=intervention.id if verdict == "act" else None,
            actions=intervention.actions,
        )
        scene.output.journal.append(decision)

    def recall(self, decision: Decision, scene: Scene) -> None:
        """In hindsight: what was decided on an order."""
        self.answers[identity_of(decision.actions).removeprefix(f"{MANUAL}.")] = decision
        if decision.verdict == "act":
            self._interventions.issue(None, in_force(decision, None, scene), decision.time)


def answer(order: Order, offered: Collection[str] | None, in_flight: Intervention | None, now: Moment) -> Answer:
    """Whether it may be carried out now."""
    needs = [need for action in order.actions for need in _needs(action)]
    changing = any(action.kind not in _BESIDE_ALL and not is_ours(action) for action in order.actions)
    reason = f"ordered by {order.by}" + (f": {order.reason}" if order.reason else "")
    return unsupported(needs, offered) or (under_way(in_flight, now) if changing else None) or Answer("act", reason)


def plan(order: Order, scene: Scene, before_step: int, reason: str) -> Intervention:
    """What the trainer will be told. A restore goes back to before ``before_step``."""
    identity = f"{MANUAL}.{order.id}"
    return Intervention(
        id=identity,
        rule=MANUAL,
        step=scene.now.step,
        generation=scene.generation,
        expires_step=scene.expires_step(),
        actions=tuple(
            Action(
                id=f"{identity}.{i}",
                kind=action.kind,
                params=action.params | ({"before_step": before_step} if action.kind == "restore_checkpoint" else {}),
            )
            for i, action in enumerate(order.actions)
        ),
        reason=reason,
    )


def _needs(action: Action) -> tuple[str, ...]:
    """What the trainer has to offer; an order was checked when it was given, but maybe by another version."""
    try:
        return PlannedAction(action.kind, ACTIONS[action.kind].model_validate(action.params)).needs
    except (KeyError, ValidationError):
        return (action.kind,)
