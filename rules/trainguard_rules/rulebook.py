"""What a loaded rule file is: frozen data, checked, with nothing of YAML left in it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from trainguard_rules.actions import ACTIONS, ActionModel
from trainguard_rules.durations import Duration, Limit
from trainguard_rules.expr import Node
from trainguard_rules.expr.nodes import Alert
from trainguard_wire.journal import Mode

MODES: tuple[Mode, ...] = ("act", "approve", "observe")  # from free to strict
Otherwise = Literal["escalate", "revert"]
NONE = Duration(0, "steps")
GOOD_AFTER = 50  # steps, where no file says
MANUAL = "manual"  # what a person ordered stands under this name; no rule may have it


class Clause(NamedTuple):
    """An expression and its text."""

    node: Node
    source: str


class PlannedAction(NamedTuple):
    """An action as the rule asks for it. ``formula`` is what gives the parameter ``model.computed``, if anything."""

    kind: str
    model: ActionModel
    formula: Clause | None = None

    def computed(self, value: float) -> "PlannedAction":
        """With this number in place of the formula. Raises pydantic's ValidationError where it is out of bounds."""
        params = {**self.model.params(), self.model.computed: value}
        return PlannedAction(self.kind, type(self.model).model_validate(params))

    @property
    def needs(self) -> tuple[str, ...]:
        """What the trainer has to offer."""
        return () if self.model.by_monitor else (self.kind, *self.model.needs)


def restores(actions: Sequence[PlannedAction]) -> bool:
    return any(action.kind == "restore_checkpoint" for action in actions)


def only_tells(actions: Sequence[PlannedAction]) -> bool:
    """Whether there are actions, and nothing is done to the training."""
    return bool(actions) and all(action.model.by_monitor for action in actions)


class Verify(NamedTuple):
    """What has to become true ``within`` so long after an intervention, and what follows ``otherwise``."""

    clause: Clause
    within: Duration
    otherwise: Otherwise


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One guard."""

    group: str
    name: str
    file: str = ""
    when: Clause
    for_: Duration = NONE
    keep_firing_for: Duration = NONE
    resolve: Clause | None = None
    actions: tuple[PlannedAction, ...] = ()
    cooldown: Duration = NONE
    limit: Limit | None = None
    settle: Duration = NONE
    unless: Clause | None = None
    verify: Verify | None = None
    escalate: tuple[PlannedAction, ...] = ()
    mode: Mode = "act"
    rolling: bool = False
    expires: int = 100
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.when.source

    @property
    def alert(self) -> dict[str, str] | None:
        """The labels of the alert that fires the rule; None where an expression does."""
        return dict(self.when.node.labels) if isinstance(self.when.node, Alert) else None

    @property
    def clauses(self) -> Iterator[Clause]:
        """Every expression of the rule, those of its actions among them."""
        yield from (c for c in (self.when, self.resolve, self.unless, self.verify and self.verify.clause) if c)
        yield from (action.formula for action in (*self.actions, *self.escalate) if action.formula)

    @property
    def rank(self) -> int:
        """Among rules that fire on one sample, the highest rank acts."""
        return max((ACTIONS[action.kind].rank for action in self.actions), default=0)

    @property
    def restores(self) -> bool:
        """Whether the rule itself, its escalation aside, goes back to a checkpoint."""
        return restores(self.actions)

    @property
    def judges_health(self) -> bool:
        """Whether a checkpoint taken while this rule is pending or firing is in doubt."""
        return self.labels.get("severity") == "critical" or self.restores


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Something a good run reaches in time. Observed and reported, never acted upon."""

    group: str
    name: str
    file: str = ""
    when: Clause
    within: Duration
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RuleBook:
    """All rules of a run, in file order. No rule is freer than ``mode``.

    ``sha256`` is over the texts of the files, and the mode where it changed any rule: it tells what decides otherwise.
    """

    rules: tuple[Rule, ...]
    expectations: tuple[Expectation, ...] = ()
    sources: tuple[str, ...] = ()
    sha256: str = ""
    good_after: int = GOOD_AFTER
    mode: Mode = "act"

    def with_mode(self, mode: Mode) -> "RuleBook":
        """The same rules, none of them freer than ``mode``: observe is stricter than approve, and that than act."""
        if mode == "act":
            return self
        rules = tuple(replace(rule, mode=_stricter(rule.mode, mode)) for rule in self.rules)
        stricter = replace(self, rules=rules, mode=_stricter(self.mode, mode))
        if rules == self.rules:
            return stricter
        return replace(stricter, sha256=hashlib.sha256(f"{self.sha256} {mode}".encode()).hexdigest())


def _stricter(one: Mode, other: Mode) -> Mode:
    return max(one, other, key=MODES.index)
