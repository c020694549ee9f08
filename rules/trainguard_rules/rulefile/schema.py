"""The form of a rule file, as pydantic models: what keys there are and what may stand under them.

Whether an expression makes sense, or an action exists, is not a matter of form: `load` sees to that.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from trainguard_rules.durations import Duration, Limit


def _duration(value: Any) -> Duration:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit: write '{value} steps', '{value} epochs' or '{value}s'")
    return Duration.parse(value)


def _limit(value: Any) -> Limit:
    return Limit.parse(str(value))


DurationField = Annotated[Duration, BeforeValidator(_duration)]
LimitField = Annotated[Limit, BeforeValidator(_limit)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RuleModel(_Model):
    """One guard."""

    guard: Name
    expr: str
    for_: DurationField = Field(default=Duration(0, "steps"), alias="for")
    actions: list[Any] = []
    cooldown: DurationField = Duration(0, "steps")
    limit: LimitField | None = None
    unless: str | None = None
    mode: Literal["act", "observe"] | None = None
    expires: DurationField = Duration(100, "steps")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class GroupModel(_Model):
    """Rules that belong together."""

    name: Annotated[str, Field(min_length=1)]
    rules: list[RuleModel]


class CheckpointsModel(_Model):
    """When a candidate checkpoint is good: after so many healthy steps."""

    good_after: DurationField = Duration(50, "steps")


class FileModel(_Model):
    """A rule file."""

    params: dict[Name, Finite] = {}
    signals: list[Name] = []
    mode: Literal["act", "observe"] = "act"
    checkpoints: CheckpointsModel = CheckpointsModel()
    groups: list[GroupModel]
