"""Tree to program: Python functions written from the checked tree, over statistics that update in O(1).

Nothing of the user's text reaches the generated code: signal names are quoted, numbers are ``repr`` of
floats, everything else is ours. Truth has three values, True, False and None for *unknown*; ``and`` and
``or`` are Kleene's, so that ``unknown and false`` is false. Evaluation only reads; learning is apart, since
the engine decides whether a rule may learn from a sample.
"""

from collections.abc import Callable
from typing import Any

from trainguard_rules.expr import functions, nodes
from trainguard_rules.expr.nodes import Node, signals_of
from trainguard_rules.stats import Reference, Snapshot, Tracker

Values = dict[str, float]
Evaluate = Callable[[Values, int, float, float], bool | None]
Measure = Callable[[Values, int, float, float], float]
Learn = Callable[[Values, int, float, float], None]

_HELPERS: dict[str, Any] = {"_div": functions.divide, "_mod": functions.modulo, "_pow": functions.power}
_INVERSE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_SIGNATURE = "(v, step, epoch, time)"


class Program:
    """One expression, ready to run, with its statistics.

    ``evaluate`` and ``value`` take the last values by signal, the step, the epoch (NaN if unknown) and the
    time. ``value`` is the left side of the first comparison: what a reader wants to see beside the threshold.
    """

    def __init__(self, node: Node) -> None:
        self.signals = signals_of(node)
        self._writer = _Writer()
        self.evaluate: Evaluate = self._function(f"return {self._writer.truth(node)}")
        self.value: Measure = self._function(f"return {self._writer.number(_leading_number(node))}")
        self.statistics: tuple[Reference | Tracker, ...] = tuple(s for s, _ in self._writer.statistics.values())

    def learner(self, fresh: frozenset[str], known: frozenset[str], *, frozen: bool) -> Learn:
        """A function that feeds a sample of the ``fresh`` signals to the statistics that look at any of them.

        A statistic that also looks at a signal not yet ``known`` is left out. ``frozen`` makes references pass
        the sample over. Arguments are computed before anything is updated, so that nested windows too exclude
        the current sample.
        """
        read, write = [], []
        for call, (statistic, slot) in self._writer.statistics.items():
            if not signals_of(call) & fresh or not signals_of(call) <= known:
                continue
            x = slot.replace("w", "x")
            read.append(f"{x} = {self._writer.number(call.argument)}")
            if isinstance(statistic, Reference):
                write.append(f"if {x} - {x} == 0.0: {slot}.{'hold' if frozen else 'update'}({x})")
            else:
                write.append(f"if {x} - {x} == 0.0: {slot}.update({x}, step, epoch, time)")
        learn: Learn = self._function("\n ".join([*read, *write, "return"]))
        return learn

    def release(self) -> None:
        for statistic in self.statistics:
            if isinstance(statistic, Reference):
                statistic.release()

    def reset(self) -> None:
        for statistic in self.statistics:
            statistic.reset()

    def snapshot(self) -> list[Snapshot]:
        return [statistic.snapshot() for statistic in self.statistics]

    def restore(self, snapshot: list[Snapshot]) -> None:
        for statistic, data in zip(self.statistics, snapshot, strict=True):
            statistic.restore(data)

    def _function(self, body: str) -> Any:
        namespace = {**_HELPERS, **self._writer.names}
        exec(compile(f"def program{_SIGNATURE}:\n {body}\n", "<rule>", "exec"), namespace)
        return namespace["program"]


def compile_program(node: Node) -> Program:
    """A program with statistics of its own, from a tree that `parse` has checked."""
    return Program(node)


class _Writer:
    """Writes Python for a tree; statistics and functions become names in ``names``."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.statistics: dict[nodes.Call, tuple[Reference | Tracker, str]] = {}
        self._temporaries = 0

    def number(self, node: Node) -> str:
        match node:
            case nodes.Number(value):
                return repr(value)
            case nodes.Signal(name):
                return f"v[{name!r}]"
            case nodes.Clock(name):
                return name
            case nodes.Negative(operand):
                return f"(-{self.number(operand)})"
            case nodes.Arithmetic(operator, left, right):
                return self._arithmetic(operator, self.number(left), self.number(right))
            case nodes.Call():
                return self._call(node)
            case _:
                raise AssertionError(f"{node} is no number")

    def truth(self, node: Node) -> str:
        match node:
            case nodes.Compare():
                return self._compare(node)
            case nodes.Logic(operator, operands):
                return self._fold(operator, [self.truth(operand) for operand in operands])
            case nodes.Not(operand):
                a = self._temporary()
                return f"(None if ({a} := {self.truth(operand)}) is None else not {a})"
            case nodes.Call():
                return self._call(node)
            case _:
                raise AssertionError(f"{node} is no comparison")

    def _arithmetic(self, operator: str, left: str, right: str) -> str:
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

    def _call(self, node: nodes.Call) -> str:
        function = node.function
        if function.pure is not None:
            self.names[f"f_{function.name}"] = function.pure
            return f"f_{function.name}({self.number(node.argument)})"
        slot = self._statistic(node)
        if function.is_reference:
            return f"{slot}.value"
        return f"{slot}.at({self.number(node.argument)}, step, epoch, time)"

    def _statistic(self, node: nodes.Call) -> str:
        if node not in self.statistics:
            assert node.function.statistic is not None
            slot = f"w{len(self.statistics)}"
            self.names[slot] = node.function.statistic(node.setting)
            self.statistics[node] = (self.names[slot], slot)
            self.number(node.argument)  # the argument may hold statistics of its own
        return self.statistics[node][1]

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"


def _leading_number(node: Node) -> Node:
    """The left side of the leftmost comparison, or the argument of the leftmost test."""
    while nodes.is_truth(node):
        node = nodes.children(node)[0]
    return node
