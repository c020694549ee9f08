"""The actions a rule may ask for: one model each, with its parameters and their bounds.

A rule file is checked against these; the trainer checks again what reaches it. ``rank`` orders rules that
fire on the same sample: what goes back in time outranks what turns a knob.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Magnitude = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ActionModel(BaseModel):
    """What all actions have: strict parameters, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    rank: ClassVar[int] = 1

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
    """Multiply the weight decay of the param groups that have any, within ``min`` and ``max``."""


class RestoreCheckpoint(ActionModel):
    """Back to the newest good checkpoint older than the onset of the incident. The data stream goes on."""

    rank: ClassVar[int] = 3
    which: Literal["last_good"] = "last_good"


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
    "rewarm_lr": RewarmLr,
    "scale_weight_decay": ScaleWeightDecay,
    "restore_checkpoint": RestoreCheckpoint,
    "save_checkpoint": SaveCheckpoint,
    "stop": Stop,
    "diagnose": Diagnose,
}
