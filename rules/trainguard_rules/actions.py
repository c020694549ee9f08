"""The actions a rule may ask for: one model each, with its parameters and their bounds.

A rule file is checked against these; the trainer checks again what reaches it. ``rank`` orders rules that
fire on the same sample: what goes back in time outranks what turns a knob.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from trainguard_rules.durations import MOST, Duration

Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
MOST_SECONDS = 7 * 86400
Magnitude = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Many = Annotated[int, Field(ge=1, le=MOST)]
FORMULA, NUMBER = "formula", "number"


def _kind_of_value(value: Any) -> str:
    return FORMULA if isinstance(value, str) else NUMBER


Formula = Annotated[str, Field(min_length=1), Tag(FORMULA)]
Told = Discriminator(_kind_of_value)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Tag(NUMBER)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Tag(NUMBER)]
Finite = Annotated[float, Field(allow_inf_nan=False), Tag(NUMBER)]


def _seconds(value: Any) -> int:
    """Of a time as it is written, such as '1h'; at most a week."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit: write '{value}s' or '1h30m'")
    time = Duration.parse(value)
    if time.unit != "seconds" or not 0 < time.amount <= MOST_SECONDS:
        raise ValueError(f"{value!r} is not a time from 1s to 7d: write '30m' or '1h'")
    return time.amount


Seconds = Annotated[
    int,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?\s*$", "examples": ["30m", "1h"]}
    ),
]


class ActionModel(BaseModel):
    """What all actions have: strict parameters, nothing unknown.

    ``sets`` says that it gives what it changes a value, so that nothing else may change that beside it. ``computed``
    names the parameter that may be a formula: an expression, which gives a number when the rule decides.
    ``by_monitor`` says that the monitor carries it out, and the trainer never hears of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    rank: ClassVar[int] = 1
    sets: ClassVar[bool] = False
    computed: ClassVar[str] = ""
    by_monitor: ClassVar[bool] = False

    @property
    def changes(self) -> str:
        """The number that is changed, and changed back where the rule says ``otherwise: revert``; "" for none."""
        return ""

    @property
    def needs(self) -> tuple[str, ...]:
        """What the trainer has to offer beside the action itself."""
        return ()

    @property
    def formula(self) -> str | None:
        """The text of the formula, where there is one."""
        value = getattr(self, self.computed) if self.computed else None
        return value if isinstance(value, str) else None

    def params(self) -> dict[str, Any]:
        """The parameters as they travel, those left out not among them."""
        return self.model_dump(exclude_none=True)


class _Bounded(ActionModel):
    factor: Factor
    min: Magnitude = 0.0
    max: Magnitude | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> "_Bounded":
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}")
        return self


class ScaleLr(_Bounded):
    """Multiply the learning rate; where that would take the rate in effect past ``min`` or ``max``, only so far.

    For the rest of the run, or, with ``recover_over`` so many steps, coming back to what it was by then.
    """

    recover_over: Many | None = None

    @property
    def changes(self) -> str:
        return "learning rate"


class SetLr(ActionModel):
    """Give the first param group the learning rate ``lr``, the others in proportion; the schedule goes on from it.

    For the rest of the run, or, with ``recover_over`` so many steps, coming back to what it was by then. With
    ``hold`` the schedule has no say any more.
    """

    sets: ClassVar[bool] = True
    computed: ClassVar[str] = "lr"
    lr: Annotated[Positive | Formula, Told]
    hold: bool = False
    recover_over: Many | None = None

    @model_validator(mode="after")
    def _check_hold(self) -> "SetLr":
        if self.hold and self.recover_over is not None:
            raise ValueError("recover_over with hold: a value that is held does not come back")
        return self

    @property
    def changes(self) -> str:
        return "learning rate"


class RewarmLr(ActionModel):
    """Hold the learning rate under a ceiling that rises from ``start_lr`` to ``base_lr`` over so many ``unit``."""

    start_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    base_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    over: Many
    unit: Literal["steps", "epochs"] = "epochs"

    @model_validator(mode="after")
    def _check_ramp(self) -> "RewarmLr":
        if self.start_lr > self.base_lr:
            raise ValueError(f"start_lr {self.start_lr} is above base_lr {self.base_lr}")
        return self


class ScaleWeightDecay(_Bounded):
    """Multiply the weight decay of the param groups that have any, the largest within ``min`` and ``max``."""

    @property
    def changes(self) -> str:
        return "weight decay"


class SetWeightDecay(ActionModel):
    """Make the largest weight decay of all param groups this, those of the others in proportion."""

    sets: ClassVar[bool] = True
    computed: ClassVar[str] = "weight_decay"
    weight_decay: Annotated[NotNegative | Formula, Told]

    @property
    def changes(self) -> str:
        return "weight decay"


class _OnKnob(ActionModel):
    name: Name

    @property
    def changes(self) -> str:
        return f"knob {self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.changes,)


class SetKnob(_OnKnob):
    """Give a knob, a number that the training script registered with bounds, a value within them."""

    sets: ClassVar[bool] = True
    computed: ClassVar[str] = "value"
    value: Annotated[Finite | Formula, Told]


class ScaleKnob(_Bounded, _OnKnob):
    """Multiply a knob, as far as ``min``, ``max`` and the bounds of its registration let it."""


class RestoreCheckpoint(ActionModel):
    """Back to the newest good checkpoint older than the onset of the incident.

    Schedule and data go on; with ``rewind: full`` they go back as well.
    """

    rank: ClassVar[int] = 3
    which: Literal["last_good"] = "last_good"
    rewind: Literal["none", "full"] = "none"


class SaveCheckpoint(ActionModel):
    """Save a checkpoint now, as a candidate."""

    rank: ClassVar[int] = 0


class Stop(ActionModel):
    """End the training at this step boundary, after saving."""

    rank: ClassVar[int] = 4


class SkipSteps(ActionModel):
    """Drop the next ``count`` updates: the steps are made and counted, parameters and optimizer state stay."""

    count: Annotated[int, Field(ge=1, le=1_000_000)]


class SetGate(ActionModel):
    """Have the trainer drop, in the same step, updates whose gradients are out of these bounds; with none, it does not.

    ``nonfinite``: a norm that is NaN or infinite. ``factor``: a norm above so many times the usual. ``max_norm``: a
    norm above it.
    """

    nonfinite: bool = False
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    max_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Pause(ActionModel):
    """Wait at this step boundary for ``resume`` or ``stop``, ``at_most`` so long."""

    rank: ClassVar[int] = 2
    at_most: Seconds = Field(default="1h", validate_default=True)


class Resume(ActionModel):
    """Let a paused training go on."""

    rank: ClassVar[int] = 2


class Diagnose(ActionModel):
    """Measure once what is costly to measure always, and report it as signals."""

    rank: ClassVar[int] = 0
    probe: Literal["collapse"] = "collapse"


class Notify(ActionModel):
    """Have the monitor tell a webhook that it knows by the name ``to``.

    ``message`` may hold the fields of annotations; without one it is the rule's ``summary``, or else its reason.
    """

    rank: ClassVar[int] = 0
    by_monitor: ClassVar[bool] = True
    to: Name
    message: str = ""


ACTIONS: dict[str, type[ActionModel]] = {
    "scale_lr": ScaleLr,
    "set_lr": SetLr,
    "rewarm_lr": RewarmLr,
    "scale_weight_decay": ScaleWeightDecay,
    "set_weight_decay": SetWeightDecay,
    "set_knob": SetKnob,
    "scale_knob": ScaleKnob,
    "restore_checkpoint": RestoreCheckpoint,
    "save_checkpoint": SaveCheckpoint,
    "skip_steps": SkipSteps,
    "set_gate": SetGate,
    "pause": Pause,
    "resume": Resume,
    "stop": Stop,
    "diagnose": Diagnose,
    "notify": Notify,
}

REVERTIBLE = tuple(kind for kind, model in ACTIONS.items() if model.changes is not ActionModel.changes)
