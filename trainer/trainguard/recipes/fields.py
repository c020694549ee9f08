"""The settings of the large-learning-rate recipe: how each is spelled, and what a value of it must be.

One row a setting: its field in `LargeLRConfig`, its environment variable, and, where there was one, the flag that the
document behind the recipe had for it, which files may use as well.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import Any

PREFIX = "LARGE_LR_"
DECAY_TYPES = ("cosine", "step", "exponential", "constant")
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Kind:
    """``accept`` gives a value in its plain type and ``read`` makes one of a text; both raise for anything else."""

    wanted: str
    accept: Callable[[Any], Any]
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Field:
    name: str
    variable: str
    kind: Kind
    flag: str | None = None


def _number(value: Any) -> float:
    """A finite float. Raises for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError("not a number")
    if not isfinite(value):
        raise ValueError("not finite")
    return float(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _choice(value: Any) -> str:
    if value not in DECAY_TYPES:
        raise ValueError("not one of them")
    return str(value)


def _whole(least: int) -> Callable[[Any], int]:
    def accept(value: Any) -> int:
        if isinstance(value, bool):
            raise TypeError("not a number")
        whole = operator.index(value)
        if whole < least:
            raise ValueError("too small")
        return whole

    return accept


def _within(fits: Callable[[float], bool]) -> Callable[[Any], float]:
    def accept(value: Any) -> float:
        if not fits(found := _number(value)):
            raise ValueError("out of range")
        return found

    return accept


def _increasing(each: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def accept(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError("not a list")
        items = tuple(each(item) for item in value)
        if not items or any(later <= earlier for earlier, later in pairwise(items)):
            raise ValueError("empty, or not increasing")
        return items

    return accept


def _listed(each: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [each(item) for item in text.split(",")]


_positive, _at_least_one = _within(lambda value: value > 0), _whole(1)

SWITCH = Kind("true or false", _switch, lambda text: _SWITCH[text.strip().lower()])
DECAY = Kind("cosine, step, exponential or constant", _choice, lambda text: text.strip().lower())
FINITE = Kind("a finite number", _number, float)
ABOVE_0 = Kind("a number above 0", _positive, float)
FROM_0 = Kind("a number of at least 0", _within(lambda value: value >= 0), float)
FRACTION = Kind("a number above 0 and below 1", _within(lambda value: 0 < value < 1), float)
SHARE = Kind("a number from 0 to 1", _within(lambda value: 0 <= value <= 1), float)
WHOLE_FROM_0 = Kind("a whole number of at least 0", _whole(0), int)
WHOLE_FROM_1 = Kind("a whole number of at least 1", _at_least_one, int)
EPOCHS = Kind("increasing whole numbers of at least 1", _increasing(_at_least_one), _listed(int))
RATES = Kind("increasing numbers above 0", _increasing(_positive), _listed(float))

FIELDS: tuple[Field, ...] = (
    Field("enabled", "LARGE_LR_ENABLED", SWITCH, "use_large_lr"),
    Field("base_lr", "LARGE_LR_BASE", ABOVE_0, "large_lr_base"),
    Field("min_lr", "LARGE_LR_MIN", FROM_0, "large_lr_min"),
    Field("warmup_epochs", "LARGE_LR_WARMUP", WHOLE_FROM_0, "large_lr_warmup_epochs"),
    Field("warmup_start_lr", "LARGE_LR_WARMUP_START", FROM_0, "large_lr_warmup_start"),
    Field("decay_type", "LARGE_LR_DECAY", DECAY, "large_lr_decay_type"),
    Field("decay_epochs", "LARGE_LR_DECAY_EPOCHS", EPOCHS),
    Field("decay_factor", "LARGE_LR_DECAY_FACTOR", FRACTION),
    Field("total_epochs", "LARGE_LR_TOTAL_EPOCHS", WHOLE_FROM_1),
    Field("lr_grid", "LARGE_LR_GRID", RATES),
    Field("weight_decay", "LARGE_LR_WEIGHT_DECAY", FROM_0, "large_lr_weight_decay"),
    Field("gradient_clip", "LARGE_LR_GRADIENT_CLIP", ABOVE_0, "large_lr_gradient_clip"),
    Field("sparsity_threshold", "LARGE_LR_SPARSITY_THRESHOLD", ABOVE_0),
    Field("confidence_threshold", "LARGE_LR_CONFIDENCE_THRESHOLD", FRACTION),
    Field("track_sparsity", "LARGE_LR_TRACK_SPARSITY", SWITCH, "large_lr_track_sparsity"),
    Field("track_confidence", "LARGE_LR_TRACK_CONFIDENCE", SWITCH, "large_lr_track_confidence"),
)
