"""Programs: an expression as Python functions, over statistics that update in O(1) or O(log w).

Evaluation only reads; learning is apart, since it is the engine that decides whether a rule may learn from a
sample. The code comes from `writer`, and can be had as text, so that the engine can lay all rules that a kind of
sample concerns into one function (`plans`).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

from trainguard_rules.durations import Moment
from trainguard_rules.expr import nodes
from trainguard_rules.expr.nodes import Node, asks_for_age, captured_in, needed_by, outside_of_onset, signals_of
from trainguard_rules.expr.writer import CLOCK, HELPERS, Writer, signal_variable
from trainguard_rules.stats import Reference, Snapshot, Tracker
from trainguard_rules.stats.at_onset import AtOnset

Values = dict[str, float]
Evaluate = Callable[[Values, int, float, float], bool | None]
Measure = Callable[[Values, int, float, float], float]
Learn = Callable[[Values, int, float, float], None]


class Program:
    """One expression, ready to run, with its statistics.

    ``evaluate`` and ``value`` take the last values by signal, the step, the epoch (NaN if unknown) and the
    time. ``value`` is the left side of the first comparison: what a reader wants to see beside the threshold.
    ``signals`` are those it looks at, ``needed`` those that must have been seen before it can be evaluated.
    """

    def __init__(self, node: Node, prefix: str = "") -> None:
        self._node = node
        self.signals = signals_of(node)
        self.needed = needed_by(node)
        by_alert = isinstance(node, nodes.Alert)
        self.wants_every_sample = (not self.signals and not by_alert) or asks_for_age(node)
        self._captured = captured_in(node)
        self._before_only = self._captured - set(outside_of_onset(node))
        self._writer = Writer(node, prefix)
        self.condition = self._writer.truth(node) if nodes.is_truth(node) else self._writer.number(node)
        leading = self._writer.number(_leading_number(node))
        self.statistics: tuple[Reference | Tracker, ...] = tuple(s for s, _ in self._writer.statistics.values())
        self.evaluate: Evaluate = self.function([f"return {self.condition}"])
        self.value: Measure = self.function([f"return {leading}"])
        self._bound: Measure | None = None
        self._onsets: list[tuple[AtOnset, frozenset[str], Measure]] = [
            (statistic, needed_by(call), self._measure(call))
            for call, (statistic, _) in self._writer.statistics.items()
            if isinstance(statistic, AtOnset)
        ]

    def certain(self, wanted: bool, finite: frozenset[str]) -> str:
        """Code that tells whether the condition is what is ``wanted``, on samples in which these signals are finite."""
        return self._writer.certain(self._node, wanted, finite)

    @property
    def names(self) -> dict[str, Any]:
        """What the code refers to."""
        return self._writer.names

    def learning(
        self,
        fresh: frozenset[str],
        known: Collection[str],
        *,
        frozen: bool,
        for_onset: bool = False,
        finite: bool = False,
    ) -> list[str]:
        """Code that feeds a sample of the ``fresh`` signals to the statistics that look at any of them.

        A statistic that also needs a signal not yet ``known`` is left out. ``frozen`` makes references pass
        the sample over. Arguments are computed before anything is updated, so that nested windows too exclude
        the current sample. ``for_onset`` leaves out what is not asked for before an incident begins. ``finite``
        promises that the fresh values are.
        """
        read, write = [], []
        for call, (statistic, slot) in self._writer.statistics.items():
            if not signals_of(call) & fresh or not needed_by(call) <= set(known) or call.function.argument == "signal":
                continue
            if for_onset and call not in self._captured:
                continue
            x = self._writer.number(call.argument)
            if not isinstance(call.argument, nodes.Signal):
                read.append(f"{slot}_x = {x}")
                x = f"{slot}_x"
            certain = finite and isinstance(call.argument, nodes.Signal) and call.argument.name in fresh
            takes_all = certain or getattr(statistic, "takes_nonfinite", False)
            condition = "" if takes_all else f"if {x} - {x} == 0.0: "
            if isinstance(statistic, Reference):
                write.append(f"{condition}{slot}.{'hold' if frozen else 'update'}({x})")
            elif not isinstance(statistic, AtOnset):
                write.append(f"{condition}{slot}.update({x}, {CLOCK})")
        return [*read, *write]

    def noting(self, fresh: frozenset[str]) -> list[str]:
        """Code that notes which signals are fresh, for those whose age is asked. Runs before any evaluation."""
        return [
            f"{slot}.update(0.0, {CLOCK})"
            for call, (_, slot) in self._writer.statistics.items()
            if call.function.argument == "signal" and signals_of(call) & fresh
        ]

    def learner(self, fresh: frozenset[str], known: Collection[str], *, frozen: bool) -> Learn:
        """`noting` and `learning` as a function."""
        body = [*self.noting(fresh), *self.learning(fresh, known, frozen=frozen), "return"]
        learn: Learn = self.function(body, known)
        return learn

    def reading(self, values: Values, now: Moment) -> float | None:
        """`value`; None where a signal has not been seen, or the value is not finite."""
        if not self.needed <= values.keys():
            return None
        value = self.value(values, *now.clock)
        return float(value) if value - value == 0.0 else None

    def threshold(self, values: Values, now: Moment) -> float | None:
        """The right side of the first comparison; None where there is none, or it is not known or not finite."""
        bound = _first_bound(self._node)
        if bound is None or not needed_by(bound) <= values.keys():
            return None
        if self._bound is None:
            self._bound = make_function([f"return {self._writer.number(bound)}"], needed_by(bound), self.names)
        value = self._bound(values, *now.clock)
        return float(value) if value - value == 0.0 else None

    def onset(self, values: Values, now: Moment) -> list[float | None]:
        """What ``at_onset`` has to keep of an incident that begins now; None where a signal has not been seen."""
        return [measure(values, *now.clock) if needed <= values.keys() else None for _, needed, measure in self._onsets]

    def capture(self, onset: list[float | None]) -> None:
        """An incident began: ``at_onset`` is what was kept of it."""
        for (statistic, _, _), x in zip(self._onsets, onset, strict=True):
            if x is None:
                statistic.reset()
            else:
                statistic.capture(x)

    def release(self) -> None:
        """Frozen references begin anew to count how long they have been frozen."""
        for statistic in self.statistics:
            if isinstance(statistic, Reference):
                statistic.release()

    def forget_onset(self) -> None:
        """The incident is over: ``at_onset`` follows the present again."""
        for statistic in self.statistics:
            if isinstance(statistic, AtOnset):
                statistic.reset()

    def restart(self) -> None:
        """Begin anew after an action, but for what was captured at the onset, and what the next onset will ask."""
        for call, (statistic, _) in self._writer.statistics.items():
            if not isinstance(statistic, AtOnset) and call not in self._before_only:
                statistic.reset()

    def reset(self, step: int = 0) -> None:
        """Forget everything; the run begins (again) after ``step``."""
        for statistic in self.statistics:
            statistic.reset()
            start = getattr(statistic, "start", None)
            if start is not None:
                start(step)

    def snapshot(self) -> list[Snapshot]:
        return [statistic.snapshot() for statistic in self.statistics]

    def restore(self, snapshot: list[Snapshot], gone: Moment) -> None:
        """Back to what was snapshot; ``gone`` is how long ago that was. What was captured at an onset stays."""
        for statistic, data in zip(self.statistics, snapshot, strict=True):
            if isinstance(statistic, AtOnset):  # the incident goes on
                continue
            statistic.restore(data)
            if isinstance(statistic, Tracker):
                statistic.shift(gone)

    def _measure(self, call: nodes.Call) -> Measure:
        """The argument of a call, as a function that needs no other signal than the argument's."""
        measure: Measure = make_function(
            [f"return {self._writer.number(call.argument)}"], needed_by(call.argument), self.names
        )
        return measure

    def function(self, body: Iterable[str], known: Collection[str] | None = None) -> Any:
        """A function ``(v, step, epoch, time)`` of this body."""
        signals = self.needed if known is None else self.signals & set(known)
        return make_function(body, signals, self.names)


def make_function(
    body: Iterable[str],
    signals: Collection[str],
    names: dict[str, Any],
    parameters: str = "",
    order: Sequence[str] = (),
) -> Any:
    """Compile lines of our own making. ``signals`` become locals read from the values ``v``.

    ``order`` promises that these are all the keys of ``v``, in their order, which makes reading most of them faster.
    """
    if 0 < len(order) < 2 * len(signals):
        head = ["".join(f"{signal_variable(name) if name in signals else '_'}, " for name in order) + "= v.values()"]
    else:
        head = [f"{signal_variable(name)} = v[{name!r}]" for name in sorted(signals)]
    text = f"def program(v, {CLOCK}{parameters}):\n " + "\n ".join([*head, *body]) + "\n"
    namespace = {"_nan": float("nan"), **HELPERS, **names}
    exec(_compiled(text), namespace)
    return namespace["program"]


@lru_cache(maxsize=4096)
def _compiled(text: str) -> CodeType:
    """The same rules make the same text for each run; compiling it is the dear part of taking a run up."""
    return compile(text, "<rules>", "exec")


def compile_program(node: Node, prefix: str = "") -> Program:
    """A program with statistics of its own, from a tree that `parse` has checked."""
    return Program(node, prefix)


def _leading_number(node: Node) -> Node:
    """The left side of the leftmost comparison, or the argument of the leftmost test."""
    while nodes.is_truth(node):
        node = next(iter(nodes.children(node)), nodes.Number(0.0))
    return node


def _first_bound(node: Node) -> Node | None:
    """What the left side of the leftmost comparison is compared with."""
    while nodes.is_truth(node):
        if isinstance(node, nodes.Compare):
            return node.operands[1]
        node = next(iter(nodes.children(node)), nodes.Number(0.0))
    return None
