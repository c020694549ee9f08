"""Expressions in words. Arithmetic stays as it is written; comparisons, logic and functions are said."""

import math
from collections.abc import Callable

from trainguard_rules.expr import nodes
from trainguard_rules.expr.nodes import Call, Node

_COMPARISONS = {
    "<": "is below",
    "<=": "is at most",
    ">": "is above",
    ">=": "is at least",
    "==": "is",
    "!=": "is not",
}
_RANKS = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "**": 4}
_PHRASE, _ATOM = 0, 9


def condition(node: Node) -> str:
    """A condition, as a clause: ``loss is above 2 * the mean of loss over the 20 samples before``."""
    match node:
        case nodes.Compare(operators, operands):
            parts = [number(operands[0])]
            for i, (operator, operand) in enumerate(zip(operators, operands[1:], strict=True)):
                parts.append(f"{'and that ' if i else ''}{_COMPARISONS[operator]} {number(operand)}")
            return " ".join(parts)
        case nodes.Logic(operator, operands):
            return f" {operator} ".join(_grouped(operand) for operand in operands)
        case nodes.Not(Call() as call) if call.function.name == "isfinite":
            return f"{number(call.argument)} is NaN or infinite"
        case nodes.Not(operand):
            return f"it is not so that {_grouped(operand)}"
        case nodes.Alert(labels):
            return f"an alert from Alertmanager with {' and '.join(f'{k} {v!r}' for k, v in labels)} is firing"
        case _:
            return number(node)


def number(node: Node) -> str:
    """A number, as a noun."""
    return _number(node)[0]


def _grouped(node: Node) -> str:
    return f"({condition(node)})" if isinstance(node, nodes.Logic) else condition(node)


def _number(node: Node) -> tuple[str, int]:
    """The words, and how tightly they hold together."""
    match node:
        case nodes.Number(value):
            return f"{value:.12g}", _ATOM if value >= 0 else 3
        case nodes.Signal(name):
            return name, _ATOM
        case nodes.Clock(name):
            return f"the {name}", _ATOM
        case nodes.Negative(operand):
            return f"-{_held(operand, 3)}", 3
        case nodes.Arithmetic(operator, left, right):
            rank = _RANKS[operator]
            power = operator == "**"
            return f"{_held(left, rank + power)} {operator} {_held(right, rank + (not power))}", rank
        case Call() if node.function.name in _PHRASES:
            return _PHRASES[node.function.name](node), _ATOM if node.function.name == "abs" else _PHRASE
        case Call():
            settings = "".join(f", {setting}" for setting in node.settings)
            return f"{node.function.name}({number(node.argument)}{settings})", _ATOM
        case _:
            return f"(1 where {condition(node)}, else 0)", _ATOM


def _held(node: Node, rank: int) -> str:
    words, own = _number(node)
    return words if own >= rank else f"({words})"


def _of(node: Node) -> str:
    """What a statistic is of: in parentheses where it is more than a name."""
    return _held(node, _ATOM)


def _over(what: str) -> Callable[[Call], str]:
    return lambda call: f"the {what} of {_of(call.argument)} over the {call.settings[-1]} samples before"


def _prev(call: Call) -> str:
    n = call.settings[0]
    return f"{_of(call.argument)} {'one sample' if n == 1 else f'{n} samples'} before"


def _since_best(call: Call) -> str:
    unit, gain, relative = call.settings
    margin = [f"{gain:g}"] if gain else []
    if relative:
        margin.append(f"{100 * float(relative):g} % of it")
    needed = f" (a new one lower by more than {' plus '.join(margin)})" if margin else ""
    return f"the {unit} since the lowest {_of(call.argument)}{needed}"


def _cusum(call: Call) -> str:
    slack, restart = call.settings
    phrase = f"the running sum of what {_of(call.argument)} exceeds {slack:g} by"
    return phrase if restart == math.inf else f"{phrase}, anew after {restart:g}"


_PHRASES: dict[str, Callable[[Call], str]] = {
    "abs": lambda call: f"|{number(call.argument)}|",
    "isfinite": lambda call: f"{_of(call.argument)} is a finite number",
    "isnan": lambda call: f"{_of(call.argument)} is not a number",
    "mean": _over("mean"),
    "std": _over("standard deviation"),
    "min": _over("lowest"),
    "max": _over("highest"),
    "median": _over("median"),
    "mad": _over("median absolute deviation"),
    "quantile": lambda call: (
        f"the {call.settings[0]:g} quantile of {_of(call.argument)} over the {call.settings[-1]} samples before"
    ),
    "ewma": lambda call: f"the moving average (span {call.settings[0]}) of {_of(call.argument)}",
    "prev": _prev,
    "changed": lambda call: f"{_of(call.argument)} differs from the sample before",
    "best": lambda call: f"the lowest {_of(call.argument)} so far",
    "since_best": _since_best,
    "slope": lambda call: f"the slope of {_of(call.argument)} over the last {call.settings[0]} samples",
    "cusum": _cusum,
    "count": lambda call: f"how many of the last {call.settings[0]} samples had ({condition(call.argument)})",
    "share": lambda call: f"the share of the last {call.settings[0]} samples that had ({condition(call.argument)})",
    "nonfinite": lambda call: f"how many of the last {call.settings[0]} values of {_of(call.argument)} were no number",
    "age": lambda call: f"the steps since a sample of {_of(call.argument)}",
    "initial": lambda call: f"what {number(call.argument)} was after {call.settings[0]} samples",
    "at_onset": lambda call: f"what {number(call.argument)} was when the incident began",
}
