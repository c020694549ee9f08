"""What a loaded rule file is: frozen data, checked, with nothing of YAML left in it."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from trainguard_rules.actions import ACTIONS, ActionModel
from trainguard_rules.durations import Duration, Limit
from trainguard_rules.expr import Node

Mode = Literal["act", "observe"]
NEVER = Duration(0, "steps")


class PlannedAction(NamedTuple):
    """An action as the rule asks for it."""

    kind: str
    model: ActionModel


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One guard. ``source`` is the expression as written."""

    group: str
    name: str
    source: str
    expr: Node
    for_: Duration = NEVER
    actions: tuple[PlannedAction, ...] = ()
    cooldown: Duration = NEVER
    limit: Limit | None = None
    unless: Node | None = None
    unless_source: str = ""
    mode: Mode = "act"
    expires: int = 100
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Among rules that fire on one sample, the highest rank acts."""
        return max((ACTIONS[action.kind].rank for action in self.actions), default=0)

    @property
    def judges_health(self) -> bool:
        """Whether a checkpoint taken while this rule is pending or firing is in doubt."""
        return self.labels.get("severity") == "critical" or any(a.kind == "restore_checkpoint" for a in self.actions)


@dataclass(frozen=True, kw_only=True)
class RuleBook:
    """All rules of a run, in file order. ``sha256`` is over the texts of the files."""

    rules: tuple[Rule, ...]
    sources: tuple[str, ...] = ()
    sha256: str = ""
    good_after: int = 50
