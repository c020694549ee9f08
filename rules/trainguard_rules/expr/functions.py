"""The functions of the rule language: one line each in `FUNCTIONS`.

Pure functions follow IEEE arithmetic and never raise: outside its domain a function gives NaN, which makes
any comparison with it unknown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trainguard_rules import stats
from trainguard_rules.stats import Reference, Tracker
from trainguard_rules.stats.at_onset import AtOnset

NAN, INF = float("nan"), float("inf")
UNITS = ("steps", "epochs", "seconds")
SettingValue = int | float | str


class Setting(NamedTuple):
    """An argument that is fixed when the rule is loaded: a whole number, a number or a unit, within bounds."""

    name: str
    kind: Literal["whole", "number", "unit"]
    least: float = 1
    most: float = 100_000
    default: SettingValue | None = None

    def __str__(self) -> str:
        return self.name if self.default is None else f"{self.name}={self.default}"


WINDOW = Setting("window", "whole")


@dataclass(frozen=True, slots=True)
class Function:
    """A name callable in an expression, as ``name(x, *settings)``.

    A pure function has ``pure``. A statistic has ``statistic``, which makes one from its settings. A function
    with neither is written in terms of others (`macros`). ``argument`` is what x has to be.
    """

    name: str
    meaning: str
    pure: Callable[[float], float | bool] | None = None
    statistic: Callable[..., Reference | Tracker] | None = None
    settings: tuple[Setting, ...] = ()
    argument: Literal["number", "truth", "signal"] = "number"
    gives_truth: bool = False

    @property
    def is_reference(self) -> bool:
        """Whether it is a statistic of the past, frozen while its rule is pending or firing."""
        return isinstance(self.statistic, type) and issubclass(self.statistic, Reference)

    @property
    def looks_back(self) -> bool:
        """Whether it is a statistic whose value does not depend on the current sample."""
        return self.is_reference or getattr(self.statistic, "looks_back", False)

    @property
    def usage(self) -> str:
        return f"{self.name}({', '.join(['condition' if self.argument == 'truth' else 'x', *map(str, self.settings)])})"


def _log(x: float) -> float:
    return math.log(x) if x > 0 else (-INF if x == 0 else NAN)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else NAN


def _pure(name: str, meaning: str, function: Callable[[float], float | bool], *, truth: bool = False) -> Function:
    return Function(name, meaning, pure=function, gives_truth=truth)


def _window(
    name: str, meaning: str, make: Callable[..., Reference | Tracker] | None, *more: Setting, least: int = 1
) -> Function:
    return Function(name, meaning, statistic=make, settings=(*more, WINDOW._replace(least=least)))


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        _pure("abs", "magnitude", abs),
        _pure("log", "natural logarithm; NaN below 0", _log),
        _pure("exp", "e to the power of x", _exp),
        _pure("sqrt", "square root; NaN below 0", _sqrt),
        _pure("isfinite", "neither NaN nor infinite", math.isfinite, truth=True),
        _pure("isnan", "not a number", math.isnan, truth=True),
        # references: the past before this sample, frozen during an incident
        _window("mean", "mean of the window before this sample", stats.Mean),
        _window("std", "sample standard deviation of the window before this sample", stats.Std, least=2),
        _window("min", "lowest of the window before this sample", stats.Min),
        _window("max", "highest of the window before this sample", stats.Max),
        _window("median", "median of the window before this sample", stats.Median),
        _window("mad", "median absolute deviation of the window before this sample", stats.Mad),
        _window(
            "quantile",
            "quantile q of the window before this sample",
            stats.Quantile,
            Setting("q", "number", 0, 1),
        ),
        _window("zscore", "(x - mean) / std", None, least=2),
        _window("robust_zscore", "(x - median) / (1.4826 mad)", None),
        Function(
            "ewma",
            "exponentially weighted mean before this sample, alpha = 2 / (span + 1)",
            statistic=stats.Ewma,
            settings=(Setting("span", "whole"),),
        ),
        # trackers: this sample counted in, never frozen
        Function(
            "prev",
            "the finite sample n before this one",
            statistic=stats.Prev,
            settings=(Setting("n", "whole", 1, 10_000, 1),),
        ),
        Function("delta", "x - prev(x)"),
        Function("changed", "differs from the sample before", statistic=stats.Changed, gives_truth=True),
        Function("best", "the lowest so far", statistic=stats.Best),
        Function(
            "since_best",
            "time since the lowest so far",
            statistic=stats.SinceBest,
            settings=(
                Setting("unit", "unit", default="steps"),
                Setting("gain", "number", 0, 1e12, 0),
                Setting("relative_gain", "number", 0, 1, 0),
            ),
        ),
        _window("slope", "least-squares slope per sample over the window, this sample included", stats.Slope, least=3),
        Function(
            "cusum",
            "what x exceeds the slack by, summed up and never below 0",
            statistic=stats.Cusum,
            settings=(Setting("slack", "number", 0, 1e12), Setting("restart", "number", 0, 1e12, INF)),
        ),
        Function(
            "count",
            "on how many of the last samples the condition held",
            statistic=stats.Count,
            settings=(WINDOW,),
            argument="truth",
        ),
        Function(
            "share",
            "on which share of the last samples the condition held",
            statistic=stats.Share,
            settings=(WINDOW,),
            argument="truth",
        ),
        _window("nonfinite", "how many of the last samples were NaN or infinite", stats.NonFinite),
        Function("age", "steps since a sample of the signal", statistic=stats.Age, argument="signal"),
        Function(
            "absent",
            "no sample of the signal for so many steps",
            settings=(Setting("window", "whole", 1, 1e9),),
            argument="signal",
            gives_truth=True,
        ),
        Function(
            "initial",
            "what x was on the first sample after so many, once and for all",
            statistic=stats.Initial,
            settings=(Setting("after", "whole", 0, 1e9),),
        ),
        Function("at_onset", "what x was when the incident began", statistic=AtOnset),
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
        return -INF if a < 0 and b % 2 == 1 else INF
    except ValueError:
        return NAN
