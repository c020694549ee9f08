"""The functions of the rule language: one line each in `FUNCTIONS`.

Pure functions follow IEEE arithmetic and never raise: outside its domain a function gives NaN, which makes
any comparison with it unknown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trainguard_rules.stats import Mean, Median, Prev, Reference, SinceBest, Tracker

Setting = Literal["window", "lag", "unit"]
NAN, INF = float("nan"), float("inf")
UNITS = ("steps", "epochs", "seconds")
LARGEST_WINDOW = 100_000
LARGEST_LAG = 10_000


@dataclass(frozen=True, slots=True)
class Function:
    """A name callable in an expression.

    A pure function has ``pure``. A statistic has ``statistic``, which makes one from its setting: a
    *window* (in samples), a *lag* (in samples) or a *unit* of training time.
    """

    name: str
    meaning: str
    pure: Callable[[float], float | bool] | None = None
    statistic: Callable[..., Reference | Tracker] | None = None
    setting: Setting | None = None
    default: int | str | None = None
    gives_truth: bool = False

    @property
    def is_reference(self) -> bool:
        """Whether the statistic is a reference, frozen while its rule is pending or firing."""
        return self.setting == "window"

    @property
    def usage(self) -> str:
        if self.setting is None:
            return f"{self.name}(x)"
        default = "" if self.default is None else f"={self.default}"
        return f"{self.name}(x, {self.setting}{default})"


def _log(x: float) -> float:
    return math.log(x) if x > 0 else (-INF if x == 0 else NAN)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else NAN


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        Function("abs", "magnitude", pure=abs),
        Function("log", "natural logarithm; NaN below 0", pure=_log),
        Function("exp", "e to the power of x", pure=_exp),
        Function("sqrt", "square root; NaN below 0", pure=_sqrt),
        Function("isfinite", "neither NaN nor infinite", pure=math.isfinite, gives_truth=True),
        Function("isnan", "not a number", pure=math.isnan, gives_truth=True),
        Function("prev", "the finite sample n before this one", statistic=Prev, setting="lag", default=1),
        Function("mean", "mean of the window before this sample", statistic=Mean, setting="window"),
        Function("median", "median of the window before this sample", statistic=Median, setting="window"),
        Function(
            "since_best",
            "time since the lowest sample",
            statistic=SinceBest,
            setting="unit",
            default="steps",
        ),
    )
}


def divide(a: float, b: float) -> float:
    """IEEE division: by zero gives an infinity or NaN."""
    if b:
        return a / b
    return NAN if a != a or not a else math.copysign(INF, a) * math.copysign(1.0, b)


def modulo(a: float, b: float) -> float:
    """Python's ``a % b``; NaN where it is not defined."""
    return a % b if b and math.isfinite(a) else NAN


def power(a: float, b: float) -> float:
    """``a ** b`` over the reals; NaN where it is not defined."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return INF
    except ValueError:
        return NAN
