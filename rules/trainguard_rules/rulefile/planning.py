"""Actions as they are written, one key with its parameters, whether in a rule file or in a person's order."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from trainguard_rules.actions import ACTIONS, FORMULA, NUMBER
from trainguard_rules.rulebook import PlannedAction
from trainguard_rules.rulefile.messages import message_of
from trainguard_rules.rulefile.source import Path
from trainguard_rules.spelling import did_you_mean


class ActionProblem(NamedTuple):
    """What is wrong with an action, at a path from there; ``at_key``: at the key itself."""

    path: Path
    message: str
    at_key: bool = False


def read_action(raw: Any) -> PlannedAction | list[ActionProblem]:
    """The action, or everything that is wrong with it."""
    if not isinstance(raw, dict) or len(raw) != 1:
        return [ActionProblem((), "an action is one key with its parameters, e.g. 'scale_lr: {factor: 0.5}'")]
    [(kind, params)] = raw.items()
    if kind not in ACTIONS:
        hint = did_you_mean(kind, ACTIONS) or f" (there are {', '.join(ACTIONS)})"
        return [ActionProblem((kind,), f"unknown action {kind!r}{hint}", True)]
    try:
        return PlannedAction(kind, ACTIONS[kind].model_validate({} if params is None else params))
    except ValidationError as error:
        return [_problem(kind, detail) for detail in error.errors()]


def _problem(kind: str, detail: Any) -> ActionProblem:
    where = tuple(part for part in detail["loc"] if part not in (FORMULA, NUMBER))
    message = message_of(detail, ACTIONS[kind], where[-1] if where else None)
    return ActionProblem((kind, *where), f"{kind}: {message}", detail["type"] == "extra_forbidden")


def rivals(planned: Sequence[PlannedAction]) -> Iterator[tuple[int, str]]:
    """Which action gives a number a value that another one changes as well: it can have one value only."""
    for i, (kind, model, _) in enumerate(planned):
        others = [other.kind for j, other in enumerate(planned) if j != i and other.model.changes == model.changes]
        if model.sets and others:
            yield i, f"{kind}: {others[0]} changes the {model.changes} as well, and it can have one value only"


def read_actions(raw: Sequence[Any]) -> tuple[PlannedAction, ...]:
    """The actions of one order. Raises `ValueError` with every problem."""
    read = [read_action(one) for one in raw]
    problems = [
        f"actions[{i}]: {problem.message}"
        for i, result in enumerate(read)
        if isinstance(result, list)
        for problem in result
    ]
    planned = tuple(result for result in read if isinstance(result, PlannedAction))
    if not problems:
        problems = [f"actions[{i}]: {message}" for i, message in rivals(planned)]
        problems += [
            f"actions[{i}]: {kind}: {model.computed!r} should be a number, not {model.formula!r}"
            for i, (kind, model, _) in enumerate(planned)
            if model.formula is not None
        ]
    if problems:
        raise ValueError("; ".join(problems))
    return planned
