"""Telemetry: what the trainer writes. One JSON object a line, told apart by its ``type``.

Every record carries ``step`` (the optimizer step it speaks of, counted from 1; 0 is before the first),
``generation`` (how many times this run has been rolled back or restarted) and ``time`` (Unix seconds).
"""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MOST = 2**53  # up to there every whole number is a float, in JavaScript too
Count = Annotated[int, Meta(ge=0, le=MOST)]
NonFinite = Literal["NaN", "Infinity", "-Infinity"]
AckStatus = Literal["applied", "refused", "expired", "failed"]


class KnobInfo(Struct, frozen=True, kw_only=True):
    """A number of the user's that may be turned within bounds; ``value`` is what it was at the start."""

    value: float
    min: float
    max: float


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every telemetry record carries."""

    step: Count
    generation: Count
    time: float


class Hello(Record, frozen=True, kw_only=True, tag="hello"):
    """The first record of a trainer process: who speaks, what it can measure, what it can be told.

    ``signals``, ``actions`` and ``knobs`` are what this trainer offers; a rule that asks for an action or a knob it
    does not offer is answered with the verdict ``hold_unsupported``. A hello opens a new generation.
    """

    run: str
    pid: int
    signals: tuple[str, ...]
    actions: tuple[str, ...]
    world_size: Annotated[int, Meta(ge=1)] = 1
    version: str = ""
    knobs: dict[str, KnobInfo] = field(default_factory=dict)


class Sample(Record, frozen=True, kw_only=True, tag="sample"):
    """Signal values measured at one step. Finite ones in ``values``, the others by name in ``nonfinite``.

    JSON has no NaN, and codecs that meet one write ``null``: so that nothing is lost, a non-finite value
    travels as its name. Use `sample_of` to make one from plain floats and `Sample.all_values` to read one back.
    ``layers`` are the gradient norms of the layers where they are largest, by parameter name, as floats or names: for
    people to look at, not for rules.
    """

    epoch: Count | None = None
    values: dict[str, float]
    nonfinite: dict[str, NonFinite] = field(default_factory=dict)
    layers: dict[str, float | NonFinite] = field(default_factory=dict)

    def all_values(self) -> dict[str, float]:
        """Every value as a float, NaN and infinities included."""
        if not self.nonfinite:
            return self.values
        return {**self.values, **{name: float(text) for name, text in self.nonfinite.items()}}


class Ack(Record, frozen=True, kw_only=True, tag="ack"):
    """What became of one action: at which step it took effect, and the value *observed* before and after.

    ``before`` and ``after`` are None where the action changes no number. They are of two steps, so a schedule has
    its part in them; ``factor`` is what the action alone multiplied by, for those that do. A restore is
    acknowledged in the generation it starts, and names in ``checkpoint`` the step it went back to.
    """

    action: str
    kind: str
    status: AckStatus
    before: float | None = None
    after: float | None = None
    factor: float | None = None
    checkpoint: Count | None = None
    reason: str = ""


class CheckpointSaved(Record, frozen=True, kw_only=True, tag="checkpoint"):
    """The state after ``step`` can be restored from now on, as a candidate; the disk gets it soon after.

    ``seconds`` is what the step paid for the copy.
    """

    seconds: float = 0.0


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """The trainer is alive.

    Since its hello, ``lost`` records could not be written, and ``errors`` of its own were swallowed, by what failed.
    """

    lost: Count = 0
    errors: dict[str, int] = field(default_factory=dict)


class Goodbye(Record, frozen=True, kw_only=True, tag="goodbye"):
    """The last record of a trainer process that ended in order."""

    outcome: Literal["finished", "stopped", "failed"]
    error: str = ""
    lost: Count = 0


Telemetry = Hello | Sample | Ack | CheckpointSaved | Heartbeat | Goodbye


def sample_of(
    values: Mapping[str, float],
    *,
    step: int,
    generation: int,
    time: float,
    epoch: int | None = None,
    layers: Mapping[str, float] | None = None,
) -> Sample:
    """A `Sample` of plain floats, with the non-finite ones set apart by name, and those of layers put by name.

    The sum is finite exactly when every value is, short of overflow, which the slow path sorts out: one
    addition per value is all that a healthy sample costs.
    """
    total = sum(values.values())
    if isfinite(total) and not layers:
        return Sample(step=step, generation=generation, time=time, epoch=epoch, values=dict(values))
    return Sample(
        step=step,
        generation=generation,
        time=time,
        epoch=epoch,
        values={name: value for name, value in values.items() if isfinite(value)},
        nonfinite={name: _name_of(value) for name, value in values.items() if not isfinite(value)},
        layers={name: norm if isfinite(norm) else _name_of(norm) for name, norm in (layers or {}).items()},
    )


def _name_of(value: float) -> NonFinite:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
