"""Text to tree: Python's grammar, a whitelist of its nodes, types and arities checked, every problem reported.

Nothing else of Python gets through: no attribute, no subscript, no literal but a number, no name and no
call that is not in the scope. Length, size and depth are bounded, also of what functions stand for that are written in
terms of others, and of the code that will be made.
"""

import ast
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

from trainguard_rules.expr import nodes
from trainguard_rules.expr.functions import FUNCTIONS, UNITS, Function, Setting, SettingValue
from trainguard_rules.expr.macros import MACROS
from trainguard_rules.expr.nodes import Node, is_truth, signals_of
from trainguard_rules.expr.syntax import LONGEST_TEXT, ExprProblem, read_syntax
from trainguard_rules.expr.writer import MOST_NESTED, nesting
from trainguard_rules.spelling import did_you_mean

MOST_WRITTEN_OUT = 1000
CLOCKS = ("step", "epoch", "time")

_ARITHMETIC: dict[type[ast.operator], nodes.Arithmetics] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE: dict[type[ast.cmpop], nodes.Comparison] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


@dataclass(frozen=True)
class Scope:
    """The names an expression may use, besides the clocks and the functions."""

    signals: Collection[str]
    params: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [*self.signals, *self.params, *CLOCKS]


def parse(text: str, scope: Scope, *, wants_truth: bool = True) -> tuple[Node | None, list[ExprProblem]]:
    """The tree, or None and everything that is wrong with the text. Never raises on any text."""
    if len(text) > LONGEST_TEXT:
        return None, [ExprProblem(1, 1, f"expression of {len(text)} characters: {LONGEST_TEXT} at most")]
    bare = text.strip()
    body = read_syntax(bare)
    if isinstance(body, ExprProblem):
        node, problems = None, [body]
    else:
        node, problems = _read(body, bare, scope, wants_truth)
    before = text[: text.find(bare)]
    return node, [problem.moved(before) for problem in problems]


def _read(body: ast.expr, text: str, scope: Scope, wants_truth: bool) -> tuple[Node | None, list[ExprProblem]]:
    reader = _Reader(scope, text)
    node = reader.truth(body) if wants_truth else reader.number(body)
    if node is not None and not reader.problems:
        if not signals_of(node) and not _has_clock(node):
            reader.problem(body, "the expression looks at no signal: it is always the same")
        elif _parts(node) > MOST_WRITTEN_OUT:
            reader.problem(body, f"the expression stands for more than {MOST_WRITTEN_OUT} parts")
        elif nesting(node) > MOST_NESTED:
            reader.problem(body, "comparisons nested too deep in each other")
    return (None if reader.problems else node), reader.problems


def _has_clock(node: Node) -> bool:
    return any(isinstance(n, nodes.Clock) for n in nodes.walk(node))


def _parts(node: Node) -> int:
    """How many there are, counted no further than needed."""
    return sum(1 for _ in islice(nodes.walk(node), MOST_WRITTEN_OUT + 1))


class _Reader:
    """Reads one expression; gives None for what is wrong and goes on, so that all problems come at once."""

    def __init__(self, scope: Scope, text: str) -> None:
        self.scope = scope
        self.problems: list[ExprProblem] = []
        self._lines = [line.encode() for line in re.split("\r\n|\r|\n", text)]

    def problem(self, at: ast.expr, message: str) -> None:
        before = self._lines[at.lineno - 1][: at.col_offset].decode()  # Python counts bytes
        self.problems.append(ExprProblem(at.lineno, len(before) + 1, message))

    def truth(self, at: ast.expr) -> Node | None:
        node = self.node(at)
        if node is not None and not is_truth(node):
            self.problem(
                at, f"{_quote(at)} is a number where a comparison is wanted: write e.g. {_quote(at)[1:-1]} > 0"
            )
            return None
        return node

    def number(self, at: ast.expr) -> Node | None:
        node = self.node(at)
        if node is not None and is_truth(node):
            self.problem(at, f"{_quote(at)} is a comparison where a number is wanted")
            return None
        return node

    def node(self, at: ast.expr) -> Node | None:
        match at:
            case ast.Constant():
                return self.constant(at)
            case ast.Name():
                return self.name(at)
            case ast.UnaryOp():
                return self.unary(at)
            case ast.BinOp():
                return self.binary(at)
            case ast.Compare():
                return self.compare(at)
            case ast.BoolOp():
                operands = [self.truth(value) for value in at.values]
                return nodes.Logic("and" if isinstance(at.op, ast.And) else "or", _all(operands))
            case ast.Call():
                return self.call(at)
        self.problem(at, f"{_quote(at)}: {_WHAT.get(type(at), type(at).__name__)} is not part of the rule language")
        return None

    def constant(self, at: ast.Constant) -> Node | None:
        if isinstance(at.value, int | float) and not isinstance(at.value, bool):
            try:
                value = float(at.value)
            except OverflowError:
                value = math.inf
            if math.isfinite(value):
                return nodes.Number(value)
        self.problem(at, f"{_quote(at)} is not a finite number")
        return None

    def name(self, at: ast.Name) -> Node | None:
        if at.id in CLOCKS:
            return nodes.Clock(at.id)  # type: ignore[arg-type]
        if at.id in self.scope.params:
            return nodes.Number(float(self.scope.params[at.id]))
        if at.id in self.scope.signals:
            return nodes.Signal(at.id)
        if at.id in FUNCTIONS:
            self.problem(at, f"{at.id!r} is a function: write {FUNCTIONS[at.id].usage}")
        else:
            self.problem(at, f"unknown signal {at.id!r}{did_you_mean(at.id, self.scope.names) or _HOW_TO_DECLARE}")
        return None

    def unary(self, at: ast.UnaryOp) -> Node | None:
        if isinstance(at.op, ast.Not):
            inner = self.truth(at.operand)
            return inner and nodes.Not(inner)
        if isinstance(at.op, ast.Invert):
            self.problem(at, "'~' is not part of the rule language: write 'not'")
            return None
        operand = self.number(at.operand)
        if operand is None or isinstance(at.op, ast.UAdd):
            return operand
        return nodes.Number(-operand.value) if isinstance(operand, nodes.Number) else nodes.Negative(operand)

    def binary(self, at: ast.BinOp) -> Node | None:
        left, right = self.number(at.left), self.number(at.right)
        operator = _ARITHMETIC.get(type(at.op))
        if operator is None:
            self.problem(at, f"{_quote(at)}: only + - * / % ** join numbers, and 'and', 'or' comparisons")
            return None
        if left is None or right is None:
            return None
        return nodes.Arithmetic(operator, left, right)

    def compare(self, at: ast.Compare) -> Node | None:
        operands = [self.number(operand) for operand in (at.left, *at.comparators)]
        operators = [_COMPARE.get(type(op)) for op in at.ops]
        if None in operators:
            self.problem(at, f"{_quote(at)}: compare numbers with < <= > >= == !=")
            return None
        return nodes.Compare(tuple(op for op in operators if op), _all(operands))

    def call(self, at: ast.Call) -> Node | None:
        if not isinstance(at.func, ast.Name):
            self.problem(at, f"{_quote(at)}: only the functions of the rule language can be called")
            return None
        function = FUNCTIONS.get(at.func.id)
        if function is None:
            self.problem(at, f"unknown function {at.func.id!r}{did_you_mean(at.func.id, FUNCTIONS)}")
            for inner in at.args[:1]:  # what is wrong in there is wrong whatever the function
                self.node(inner)
            return None
        given = self._bind(at, function)
        if given is None:
            return None
        argument = self.truth(at.args[0]) if function.argument == "truth" else self.number(at.args[0])
        settings = [self._setting(value, setting, function) for setting, value in given]
        if argument is None or None in settings or not self._suits(at.args[0], argument, function):
            return None
        fixed = tuple(setting for setting in settings if setting is not None)
        if function.name in MACROS:
            return self._written_out(at, MACROS[function.name](argument, fixed))
        return nodes.Call(function, argument, fixed)

    def _written_out(self, at: ast.Call, node: Node) -> Node | None:
        """Such functions name their argument more than once, so that a few of them in each other are thousands."""
        if _parts(node) <= MOST_WRITTEN_OUT:
            return node
        self.problem(at, f"{_quote(at)} stands for more than {MOST_WRITTEN_OUT} parts")
        return None

    def _bind(self, at: ast.Call, function: Function) -> list[tuple[Setting, ast.expr | None]] | None:
        """Each setting with what was given for it; None, and a problem, where the arguments do not fit."""
        named = {keyword.arg: keyword.value for keyword in at.keywords}
        names = [setting.name for setting in function.settings]
        positional = at.args[1:]
        most = 1 + len(names)
        least = most - sum(setting.default is not None for setting in function.settings)
        count = len(at.args) + len(named)
        twice = len(named) < len(at.keywords)
        odd = twice or any(isinstance(a, ast.Starred) for a in at.args) or set(named) - set(names[len(positional) :])
        if at.args and not odd and least <= count <= most:
            values = [*positional, *(named.get(name) for name in names[len(positional) :])]
            bound = list(zip(function.settings, values, strict=True))
            if all(value is not None or setting.default is not None for setting, value in bound):
                return bound
        if not at.args or odd:
            self.problem(at, f"{_quote(at)}: write {function.usage}")
        else:
            wanted = str(least) if least == most else f"{least} {'or' if most - least == 1 else 'to'} {most}"
            noun = "argument" if wanted == "1" else "arguments"
            self.problem(at, f"{function.name} takes {wanted} {noun}, not {count}: write {function.usage}")
        return None

    def _suits(self, at: ast.expr, argument: Node, function: Function) -> bool:
        if function.argument == "signal" and not isinstance(argument, nodes.Signal):
            self.problem(at, f"{function.usage}: x must be a signal, not {_quote(at)}")
        elif (function.statistic or function.name in MACROS) and not signals_of(argument):
            self.problem(at, f"{function.usage}: x must contain a signal")
        else:
            return True
        return False

    def _setting(self, at: ast.expr | None, setting: Setting, function: Function) -> SettingValue | None:
        if at is None:
            return setting.default
        if setting.kind == "unit":
            return self._unit(at, function)
        node = self.number(at)
        if node is None:
            return None
        whole = setting.kind == "whole"
        if isinstance(node, nodes.Number) and setting.least <= node.value <= setting.most:
            if not whole:
                return node.value
            if node.value.is_integer():
                return int(node.value)
        wanted = f"a {'whole ' if whole else ''}number from {setting.least:g} to {setting.most:,.10g}".replace(",", "")
        self.problem(at, f"{function.usage}: {setting.name} must be {wanted}, not {_quote(at)}")
        return None

    def _unit(self, at: ast.expr, function: Function) -> str | None:
        if isinstance(at, ast.Name) and at.id in UNITS:
            return at.id
        self.problem(at, f"{function.usage}: the unit is one of {', '.join(UNITS)}, not {_quote(at)}")
        return None


_HOW_TO_DECLARE = "; a signal of your own is declared under 'signals:' at the top of the file"
_WHAT: dict[type[ast.expr], str] = {
    ast.Attribute: "an attribute",
    ast.Subscript: "a subscript",
    ast.IfExp: "'if … else'",
    ast.Lambda: "a lambda",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.JoinedStr: "a string",
    ast.NamedExpr: "':='",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Await: "'await'",
    ast.Starred: "'*'",
}


def _all(operands: list[Node | None]) -> tuple[Node, ...]:
    # Where one is missing a problem is on record, and the tree is thrown away.
    return cast("tuple[Node, ...]", tuple(operands)) if None not in operands else ()


def _quote(at: ast.expr) -> str:
    text = ast.unparse(at)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
