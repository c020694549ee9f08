"""The form of a rule file, as pydantic models: what keys there are and what may stand under them.

Whether an expression makes sense, or an action exists, is not a matter of form: `load` sees to that.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from trainguard_rules.actions import NAME, Name
from trainguard_rules.durations import Duration, Limit
from trainguard_rules.rulebook import GOOD_AFTER
from trainguard_wire.journal import Mode


def _duration(value: Any) -> Duration:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        raise ValueError(f"{value!r} has no unit: write '{value} steps', '{value} epochs' or '{value}s'")
    return Duration.parse("" if value is None else value if isinstance(value, str) else repr(value))


def _limit(value: Any) -> Limit:
    return Limit.parse(value if isinstance(value, str) else "" if value is None else repr(value))


DurationField = Annotated[Duration, BeforeValidator(_duration)]
LimitField = Annotated[Limit, BeforeValidator(_limit)]
LabelName = Annotated[str, Field(pattern=NAME)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class VerifyModel(_Model):
    """Whether an intervention helped, and what follows if it did not."""

    expr: str
    within: DurationField
    otherwise: Literal["escalate", "revert"] = "escalate"


class GuardModel(_Model):
    """A guard: a condition, and what to do about it."""

    guard: Name
    expr: str | None = None
    alert: Annotated[dict[LabelName, str], Field(min_length=1)] | None = None
    for_: DurationField = Field(default=Duration(0, "steps"), alias="for")
    keep_firing_for: DurationField = Duration(0, "steps")
    resolve_expr: str | None = None
    baseline: Literal["frozen", "rolling"] | None = None
    actions: list[Any] = []
    cooldown: DurationField = Duration(0, "steps")
    limit: LimitField | None = None
    unless: str | None = None
    verify: VerifyModel | None = None
    escalate: list[Any] = []
    mode: Mode | None = None
    expires: DurationField = Duration(100, "steps")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ExpectModel(_Model):
    """Something a good run reaches within a time: reported, never acted upon."""

    expect: Name
    expr: str
    within: DurationField
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def kind_of_rule(raw: Any) -> str:
    """``expect`` for what has that key, ``guard`` for all else."""
    return "expect" if isinstance(raw, dict) and "expect" in raw and "guard" not in raw else "guard"


RuleModel = Annotated[
    Annotated[GuardModel, Tag("guard")] | Annotated[ExpectModel, Tag("expect")], Discriminator(kind_of_rule)
]


class GroupModel(_Model):
    """Rules that belong together."""

    name: Annotated[str, Field(min_length=1)]
    rules: Annotated[list[RuleModel], Field(min_length=1)]


class CheckpointsModel(_Model):
    """When a candidate checkpoint is good: after so many healthy steps."""

    good_after: DurationField = Duration(GOOD_AFTER, "steps")


class FileModel(_Model):
    """A rule file."""

    params: dict[Name, Finite] = {}
    signals: list[Name] = []
    mode: Mode = "act"
    settle: DurationField = Duration(10, "steps")
    checkpoints: CheckpointsModel = CheckpointsModel()
    groups: Annotated[list[GroupModel], Field(min_length=1)]
