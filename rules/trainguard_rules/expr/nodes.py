"""The tree of a checked expression. Numbers and truth values never mix: `is_truth` tells which a node gives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from trainguard_rules.expr.functions import Function, SettingValue

Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
Arithmetics = Literal["+", "-", "*", "/", "%", "**"]


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, or a parameter's value."""

    value: float


@dataclass(frozen=True, slots=True)
class Signal:
    """The last value of a signal."""

    name: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Training time: where the sample stands."""

    name: Literal["step", "epoch", "time"]


@dataclass(frozen=True, slots=True)
class Negative:
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    operator: Arithmetics
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Compare:
    """A chain ``a < b <= c``: every neighbouring pair must hold."""

    operators: tuple[Comparison, ...]
    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Logic:
    operator: Literal["and", "or"]
    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of ``argument``, with what else it was given: its window, lag, unit..."""

    function: Function
    argument: "Node"
    settings: tuple[SettingValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert with these labels is firing. The whole of an alert rule's condition, and not known from samples."""

    labels: tuple[tuple[str, str], ...]


Node = Number | Signal | Clock | Negative | Arithmetic | Compare | Logic | Not | Call | Alert


def is_truth(node: Node) -> bool:
    """Whether the node gives true, false or unknown, and not a number."""
    if isinstance(node, Call):
        return node.function.gives_truth
    return isinstance(node, Compare | Logic | Not | Alert)


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Negative(operand) | Not(operand) | Call(argument=operand):
            return (operand,)
        case Arithmetic(left=left, right=right):
            return (left, right)
        case Compare(operands=operands) | Logic(operands=operands):
            return operands
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, outermost first."""
    yield node
    for child in children(node):
        yield from walk(child)


def signals_of(node: Node) -> frozenset[str]:
    """Every signal in the expression."""
    return frozenset(n.name for n in walk(node) if isinstance(n, Signal))


def needed_by(node: Node) -> frozenset[str]:
    """The signals whose values it takes to evaluate the expression: not those it only asks the age of."""
    if isinstance(node, Signal):
        return frozenset((node.name,))
    if isinstance(node, Call) and node.function.argument == "signal":
        return frozenset()
    return frozenset().union(*map(needed_by, children(node)))


def compared_bare(node: Node) -> frozenset[str]:
    """The signals that stand outside of every window: there is a current sample to protect the windows from."""
    if isinstance(node, Signal):
        return frozenset((node.name,))
    if isinstance(node, Call) and node.function.is_reference:
        return frozenset()
    return frozenset().union(*map(compared_bare, children(node)))


def captured_in(node: Node) -> frozenset["Call"]:
    """The calls inside of an ``at_onset``: what has to be known when an incident begins."""
    onsets = [n for n in walk(node) if isinstance(n, Call) and n.function.name == "at_onset"]
    return frozenset(n for onset in onsets for n in walk(onset.argument) if isinstance(n, Call))


def outside_of_onset(node: Node) -> Iterator[Node]:
    """The node and everything below it, but for what stands inside of an ``at_onset``."""
    yield node
    if not (isinstance(node, Call) and node.function.name == "at_onset"):
        for child in children(node):
            yield from outside_of_onset(child)


def asks_for_age(node: Node) -> bool:
    """Whether the expression can change without a fresh sample."""
    return any(isinstance(n, Call) and n.function.argument == "signal" for n in walk(node))
