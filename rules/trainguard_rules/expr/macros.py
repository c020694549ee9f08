"""Functions that are written in terms of others."""

from collections.abc import Callable, Sequence

from trainguard_rules.expr.functions import FUNCTIONS, SettingValue
from trainguard_rules.expr.nodes import Arithmetic, Call, Compare, Node, Number

NORMAL = 1.4826  # a normal distribution's standard deviation, in units of its median absolute deviation


def _delta(x: Node, settings: Sequence[SettingValue]) -> Node:
    return Arithmetic("-", x, Call(FUNCTIONS["prev"], x, (1,)))


def _zscore(x: Node, settings: Sequence[SettingValue]) -> Node:
    window = tuple(settings)
    above = Arithmetic("-", x, Call(FUNCTIONS["mean"], x, window))
    return Arithmetic("/", above, Call(FUNCTIONS["std"], x, window))


def _robust_zscore(x: Node, settings: Sequence[SettingValue]) -> Node:
    window = tuple(settings)
    above = Arithmetic("-", x, Call(FUNCTIONS["median"], x, window))
    return Arithmetic("/", above, Arithmetic("*", Number(NORMAL), Call(FUNCTIONS["mad"], x, window)))


def _absent(x: Node, settings: Sequence[SettingValue]) -> Node:
    return Compare((">=",), (Call(FUNCTIONS["age"], x), Number(float(settings[0]))))


MACROS: dict[str, Callable[[Node, Sequence[SettingValue]], Node]] = {
    "absent": _absent,
    "delta": _delta,
    "robust_zscore": _robust_zscore,
    "zscore": _zscore,
}
