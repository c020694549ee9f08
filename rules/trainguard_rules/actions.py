"""The actions a rule may ask for: one model each, with its parameters and their bounds.

A rule file is checked against these; the trainer checks again what reaches it. ``rank`` orders rules that
fire on the same sample: what goes back in time outranks what turns a knob.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Magnitude = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ActionModel(BaseModel):
    """What all actions have: strict parameters, nothing unknown.

    ``sets`` says that it gives what it changes a value, so that nothing else may change that beside it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    rank: ClassVar[int] = 1
    sets: ClassVar[bool] = False

    @property
    def changes(self) -> str:
        """The number that is changed, and changed back where the rule says ``otherwise: revert``; "" for none."""
        return ""

    @property
    def needs(self) -> tuple[str, ...]:
        """What the trainer has to offer beside the action itself."""
        return ()

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

    recover_over: Annotated[int, Field(ge=1)] | None = None

    @property
    def changes(self) -> str:
        return "learning rate"


class SetLr(ActionModel):
    """Give the first param group the learning rate ``lr``, the others in proportion; the schedule goes on from it.

    For the rest of the run, or, with ``recover_over`` so many steps, coming back to what it was by then. With
    ``hold`` the schedule has no say any more.
    """

    sets: ClassVar[bool] = True
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    hold: bool = False
    recover_over: Annotated[int, Field(ge=1)] | None = None

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
    over: Annotated[int, Field(ge=1)]
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
    weight_decay: Magnitude

    @property
    def changes(self) -> str:
        return "weight decay"


class _OnKnob(ActionModel):
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]

    @property
    def changes(self) -> str:
        return f"knob {self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.changes,)


class SetKnob(_OnKnob):
    """Give a knob, a number that the training script registered with bounds, a value within them."""

    sets: ClassVar[bool] = True
    value: Annotated[float, Field(allow_inf_nan=False)]


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


class Diagnose(ActionModel):
    """Measure once what is costly to measure always, and report it as signals."""

    rank: ClassVar[int] = 0
    probe: Literal["collapse"] = "collapse"


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
    "stop": Stop,
    "diagnose": Diagnose,
}

REVERTIBLE = tuple(kind for kind, model in ACTIONS.items() if model.changes is not ActionModel.changes)
