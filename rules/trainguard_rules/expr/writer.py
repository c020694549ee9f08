"""Tree to Python text. Of the user's text only the names of signals reach the code, behind an ``s_``, and numbers.

Truth has three values, True, False and None for *unknown*: a comparison with NaN. ``and`` and ``or`` are
Kleene's, so that ``unknown and false`` is false. Numbers are floats throughout and NaN stands for what is not
known, so arithmetic needs no cases.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from trainguard_rules.expr import functions, nodes
from trainguard_rules.expr.nodes import Call, Node
from trainguard_rules.stats import Reference, Tracker

HELPERS: dict[str, Any] = {"_div": functions.divide, "_mod": functions.modulo, "_pow": functions.power}
_INVERSE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_OPPOSITE = {**_INVERSE, "==": "!=", "!=": "==", "and": "or", "or": "and"}
_OF_FINITE = {"isfinite": True, "isnan": False}
MOST_NESTED = 150  # parentheses in each other; Python reads 200, and the plans add some
SHORT = 200  # characters of code that may stand twice
_COMES_WITH = {"mean": "std", "median": "mad"}
CLOCK = "step, epoch, time"


def signal_variable(name: str) -> str:
    """The local variable that holds the last value of a signal."""
    return f"s_{name}"


class Writer:
    """Writes expressions over the locals ``s_<signal>``, ``step``, ``epoch`` and ``time``.

    What the code refers to besides is in ``names``; every name begins with ``prefix``, so that the code of
    several writers can stand in one function. ``statistics`` are made on the way, equal calls sharing one.
    ``node`` is the whole of which expressions will be written.
    """

    def __init__(self, node: Node, prefix: str = "") -> None:
        self._calls = {n for n in nodes.walk(node) if isinstance(n, Call)}
        self.names: dict[str, Any] = {}
        self.statistics: dict[Call, tuple[Reference | Tracker, str]] = {}
        self._prefix = prefix
        self._temporaries = 0

    def number(self, node: Node) -> str:
        """Code that gives a float."""
        match node:
            case nodes.Number(value):
                return repr(value)
            case nodes.Signal(name):
                return signal_variable(name)
            case nodes.Clock(name):
                return f"float({name})"  # a whole number may outgrow every float
            case nodes.Negative(operand):
                return f"(-{self.number(operand)})"
            case nodes.Arithmetic(operator, left, right):
                return self._arithmetic(operator, self.number(left), self.number(right))
            case nodes.Call() if not node.function.gives_truth:
                return self._call(node)
        truth = self._temporary()
        return f"(1.0 if ({truth} := {self.truth(node)}) else 0.0 if {truth} is False else _nan)"

    def truth(self, node: Node) -> str:
        """Code that gives True, False or None."""
        match node:
            case nodes.Compare():
                return self._compare(node)
            case nodes.Logic(operator, operands):
                return self._fold(operator, [self.truth(operand) for operand in operands])
            case nodes.Not(operand):
                a = self._temporary()
                return f"(None if ({a} := {self.truth(operand)}) is None else not {a})"
            case nodes.Alert():
                return "None"
            case nodes.Call(function=function) if function.pure is not None:
                return self._call(node)
            case nodes.Call():
                a = self._temporary()
                return f"(True if ({a} := {self._call(node)}) == 1.0 else False if {a} == 0.0 else None)"
            case _:
                raise AssertionError(f"{node} is no comparison")

    def certain(self, node: Node, wanted: bool, finite: frozenset[str] = frozenset()) -> str:
        """Code that gives True where `truth` would give ``wanted``, and False where not.

        That takes less than to tell three cases apart. The signals in ``finite`` are known to be.
        """
        match node:
            case nodes.Compare(operators, operands):
                signs = operators if wanted else [_OPPOSITE[operator] for operator in operators]
                return _join("and" if wanted else "or", self._pairs(signs, operands))
            case nodes.Logic(operator, operands):
                joint = operator if wanted else _OPPOSITE[operator]
                return _join(joint, [self.certain(operand, wanted, finite) for operand in operands])
            case nodes.Not(operand):
                return self.certain(operand, not wanted, finite)
            case nodes.Call(function, nodes.Signal(name)) if function.name in _OF_FINITE and name in finite:
                return str(wanted is _OF_FINITE[function.name])
        return f"({self.truth(node)} is {wanted})"

    def _pairs(self, signs: Iterable[str], operands: Sequence[Node]) -> list[str]:
        """The comparisons of a chain, each false where one side is NaN."""
        pairs: list[str] = []
        left = self.number(operands[0])
        for sign, operand in zip(signs, operands[1:], strict=True):
            a, b = self._temporary(), self._temporary()
            right = self.number(operand)
            if sign == "!=" or len(pairs) < len(operands) - 2:
                right = f"({b} := {right})"
            # NaN is unequal to everything, which is not what '!=' means here.
            pairs.append(f"(({a} := {left}) < {right} or {a} > {b})" if sign == "!=" else f"{left} {sign} {right}")
            left = b
        return pairs

    def _arithmetic(self, operator: str, left: str, right: str) -> str:
        if operator == "/" and len(left) <= SHORT:
            b = self._temporary()
            return f"({left} / {b} if ({b} := {right}) else _div({left}, {b}))"
        helper = {"/": "_div", "%": "_mod", "**": "_pow"}.get(operator)
        return f"{helper}({left}, {right})" if helper else f"({left} {operator} {right})"

    def _compare(self, node: nodes.Compare) -> str:
        pairs, left = [], self.number(node.operands[0])
        for operator, operand in zip(node.operators, node.operands[1:], strict=True):
            a, b = self._temporary(), self._temporary()
            test = f"({a} := {left}) {operator} ({b} := {self.number(operand)})"
            known = f"{a} {_INVERSE[operator]} {b}" if operator in _INVERSE else f"{a} == {a} and {b} == {b}"
            # NaN is unequal to everything, so '!=' has to ask first whether both sides are known.
            certain = f"({test}) and {known}" if operator == "!=" else test
            pairs.append(f"(True if {certain} else False if {known} else None)")
            left = b
        return self._fold("and", pairs)

    def _fold(self, operator: str, codes: list[str]) -> str:
        """Join by halves, so that a long chain does not nest deep. Evaluated left to right all the same."""
        if len(codes) == 1:
            return codes[0]
        left, right = (self._fold(operator, half) for half in (codes[: len(codes) // 2], codes[len(codes) // 2 :]))
        a, b = self._temporary(), self._temporary()
        decisive, other = ("False", "True") if operator == "and" else ("True", "False")
        return (
            f"({decisive} if ({a} := {left}) is {decisive} or ({b} := {right}) is {decisive}"
            f" else {other} if {a} is {other} and {b} is {other} else None)"
        )

    def _call(self, node: Call) -> str:
        function = node.function
        if function.pure is not None:
            self.names[f"f_{function.name}"] = function.pure
            return f"f_{function.name}({self.number(node.argument)})"
        if function.name in _COMES_WITH:  # the spread of a window is kept beside its middle
            spread = Call(functions.FUNCTIONS[_COMES_WITH[function.name]], node.argument, node.settings)
            if spread in self._calls:
                return f"{self._statistic(spread)}.{function.name}"
        slot = self._statistic(node)
        if function.looks_back:
            return f"{slot}.value"
        x = "0.0" if function.argument == "signal" else self.number(node.argument)
        return f"{slot}.at({x}, {CLOCK})"

    def _statistic(self, node: Call) -> str:
        if node not in self.statistics:
            assert node.function.statistic is not None
            slot = f"{self._prefix}w{len(self.statistics)}"
            self.names[slot] = node.function.statistic(*node.settings)
            self.statistics[node] = (self.names[slot], slot)
            self.number(node.argument)  # the argument may hold statistics of its own
        return self.statistics[node][1]

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"


def nesting(node: Node) -> int:
    """How deep parentheses stand in each other in the code of an expression."""
    writer = Writer(node)
    code = writer.truth(node) if nodes.is_truth(node) else writer.number(node)
    return max(accumulate((character == "(") - (character == ")") for character in code))


def _join(operator: str, codes: Sequence[str]) -> str:
    return codes[0] if len(codes) == 1 else f"({f' {operator} '.join(codes)})"
