"""The form of a test file, as pydantic models."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from trainguard_rules.actions import ACTIONS, Name
from trainguard_rules.durations import Duration
from trainguard_rules.ruletest.scenario import END, ActionWanted
from trainguard_rules.ruletest.series import expand
from trainguard_rules.spelling import did_you_mean
from trainguard_wire.journal import AlertState, OutcomeStatus, Verdict


def _words_of(kind: Any) -> tuple[str, ...]:
    """The words of a Literal, or of several joined by |."""
    return tuple(w for part in get_args(kind) for w in ([part] if isinstance(part, str) else _words_of(part)))


VERDICTS = (*_words_of(Verdict), "none")
OUTCOMES = (*_words_of(OutcomeStatus), "waiting", "none")


def _interval(value: Any) -> int:
    if isinstance(value, str):
        duration = Duration.parse(value)
        if duration.unit == "seconds" and duration.amount > 0:
            return duration.amount
    raise ValueError(f"{value!r} is not a time between two steps: write '1s' or '1m30s'")


def _later(value: Any) -> int | None:
    if value == "never":
        return None
    if _is_count(value):
        return int(value)
    raise ValueError(f"{value!r} is neither a number of steps nor 'never'")


def _step(value: Any) -> int:
    if value == "end":
        return END
    if _is_count(value) and value > 0:
        return int(value)
    raise ValueError(f"{value!r} is neither a step (from 1) nor 'end'")


def _series(value: Any) -> list[float | None]:
    if not isinstance(value, str):
        raise ValueError(f'a series is text, not the number {value!r}: put it in quotes, "1x20", or YAML reads it')
    return expand(value)


def _verdict(value: Any) -> str:
    return _word(value, VERDICTS)


def _outcomes(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list) else [value]
    return tuple(_word(word, OUTCOMES) for word in words)


def _actions(value: Any) -> tuple[ActionWanted, ...]:
    if value == "none":
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list of actions: write [restore_checkpoint, {{scale_lr: {{}}}}], or none")
    return tuple(map(_action, value))


def _action(value: Any) -> ActionWanted:
    if isinstance(value, str):
        value = {value: None}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"{value!r} is not an action: write its name, or one key with the parameters that matter")
    [(kind, params)] = value.items()
    if kind not in ACTIONS:
        raise ValueError(f"unknown action {kind!r}{did_you_mean(kind, ACTIONS) or _there_are(ACTIONS)}")
    known = (*ACTIONS[kind].model_fields, *(["before_step"] if kind == "restore_checkpoint" else []))
    if params is not None and not isinstance(params, dict):
        raise ValueError(f"{kind}: {params!r} are not parameters: write e.g. {{{known[0]}: 1}}")
    for name in params or {}:
        if name not in known:
            raise ValueError(f"{kind} has no parameter {name!r}{did_you_mean(name, known) or _there_are(known)}")
    return ActionWanted(kind, params or {})


def _kind(value: Any) -> str:
    if not isinstance(value, str) or value not in ACTIONS:
        raise ValueError(f"unknown action {value!r}{did_you_mean(str(value), ACTIONS) or _there_are(ACTIONS)}")
    return value


def _word(value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{value!r} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    return value


def _there_are(known: Any) -> str:
    return f" (there are {', '.join(known)})"


def _filled(what: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if not value:
            raise ValueError(f"give at least one {what}")
        return value

    return AfterValidator(check)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Later = Annotated[int | None, PlainValidator(_later)]


class ExpectModel(_Model):
    """What is expected after one step."""

    step: Annotated[int, PlainValidator(_step)]
    states: dict[str, AlertState] = {}
    verdicts: dict[str, Annotated[str, PlainValidator(_verdict)]] = {}
    actions: dict[str, Annotated[tuple[ActionWanted, ...], PlainValidator(_actions)]] = {}
    outcomes: dict[str, Annotated[tuple[str, ...], PlainValidator(_outcomes)]] = {}
    interventions: Count | None = None
    reached: dict[str, Literal["met", "missed", "waiting"]] = {}


class KnobModel(_Model):
    """A knob as the training script would have registered it."""

    value: Number
    min: Number
    max: Number

    @model_validator(mode="after")
    def _check_bounds(self) -> "KnobModel":
        if not self.min <= self.value <= self.max:
            raise ValueError(f"value {self.value} is not between min {self.min} and max {self.max}")
        return self


class AlertModel(_Model):
    """An alert from Alertmanager that fires, or is over, after one step."""

    step: Annotated[int, Field(ge=0)]
    labels: Annotated[dict[str, str], _filled("label")]
    status: Literal["firing", "resolved"] = "firing"


class TestModel(_Model):
    """One test."""

    name: Annotated[str, Field(min_length=1)]
    interval: Annotated[int, PlainValidator(_interval)] = 1
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    input_series: Annotated[dict[str, Annotated[list[float | None], PlainValidator(_series)]], _filled("series")]
    checkpoints: list[Count] = [0]
    acks: Later = 1
    approvals: Later = None
    alerts: list[AlertModel] = []
    actions_offered: list[Annotated[str, PlainValidator(_kind)]] | None = None
    knobs: dict[Name, KnobModel] = {}
    expect: Annotated[list[ExpectModel], _filled("step")]


class TestFileModel(_Model):
    """A test file."""

    rule_files: Annotated[list[str], _filled("file, or shipped pack")]
    tests: Annotated[list[TestModel], _filled("test")]
