"""Control: what the monitor tells the trainer. One JSON object a line, told apart by its ``type``."""

from typing import Annotated

from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=0)]
Parameter = float | int | str | bool | None


class Action(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One verb on something bounded, e.g. ``scale_lr`` with ``{"factor": 0.5}``. Acknowledged by its ``id``."""

    id: str
    kind: str
    params: dict[str, Parameter] = field(default_factory=dict)


class Intervention(Struct, frozen=True, kw_only=True, tag_field="type", tag="intervention"):
    """The answer to one incident: actions that belong together, in one line so that they arrive together.

    The trainer carries them out in order at one step boundary, and refuses all of them once its step is
    past ``expires_step`` or it is no longer in ``generation``: a late "halve the learning rate" does harm.
    Where one action fails, those after it are refused.
    """

    id: str
    rule: str
    step: Count
    generation: Count
    expires_step: Count
    actions: tuple[Action, ...]
    reason: str = ""


class Promotion(Struct, frozen=True, kw_only=True, tag_field="type", tag="promotion"):
    """The checkpoint of step ``checkpoint`` has proved itself: the run stayed healthy after it. Not acknowledged."""

    checkpoint: Count
    step: Count
    generation: Count

    @property
    def id(self) -> str:
        return f"promotion.{self.generation}.{self.checkpoint}"


class Judged(Struct, frozen=True, kw_only=True, tag_field="type", tag="judged"):
    """In lockstep runs: the monitor has judged the first ``records`` records of this trainer process, its hello being
    the first, and what it had to say about them stands before this. ``step`` is that of the last. Not acknowledged.
    """

    step: Count
    generation: Count
    records: Count

    @property
    def id(self) -> str:
        return f"judged.{self.generation}.{self.records}"


Control = Intervention | Promotion | Judged
