"""One rule at work: its program, its state, its memory."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from trainguard_rules.alerts import advance
from trainguard_rules.durations import Moment
from trainguard_rules.expr import compile_program
from trainguard_rules.expr.compile import Learn
from trainguard_rules.policy import Memory
from trainguard_rules.rulebook import Rule
from trainguard_rules.template import fill
from trainguard_wire.journal import AlertState, Verdict


class RuleStatus(NamedTuple):
    """What there is to show of a rule. ``value`` is the left side of its first comparison."""

    name: str
    group: str
    state: AlertState
    value: float | None
    since_step: int | None
    evaluations: int
    unknown: int


class Watch:
    """A rule and everything that changes about it. ``evaluations`` and ``unknown`` count results.

    In an incident, ``called`` says that the rule decided to act, ``heard`` that the trainer answered.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.programs = [compile_program(node) for node in (rule.expr, rule.unless) if node is not None]
        self.signals = self.programs[0].signals
        self.evaluate = self.programs[0].evaluate
        self.state: AlertState = "inactive"
        self.onset: Moment | None = None
        self.memory = Memory()
        self.verdict: Verdict | None = None
        self.called = self.heard = False
        self.evaluations = 0
        self.unknown = 0

    def advance(self, condition: bool | None, now: Moment) -> AlertState:
        """Move the state by one evaluation; gives the state before. Leaving an incident forgets its verdict."""
        before = self.state
        if before == "inactive" and condition:
            self.onset = now
        held = self.onset is not None and self.rule.for_.passed(self.onset, now)
        self.state = advance(before, condition, held=held)
        if self.state == "inactive":
            self.calm()
        return before

    def calm(self) -> None:
        """Back to inactive: the incident is over, references may learn again."""
        self.state, self.onset, self.verdict = "inactive", None, None
        self.called = self.heard = False
        self.release()

    def release(self) -> None:
        """Frozen references begin anew to count how long they have been frozen."""
        for program in self.programs:
            program.release()

    def inhibited(self, values: dict[str, float], now: Moment) -> bool:
        """Whether ``unless`` is true. Unknown, a signal never seen among it, does not inhibit."""
        if len(self.programs) == 1:
            return False
        unless = self.programs[1]
        known = dict.fromkeys(unless.signals, float("nan")) | values
        return unless.evaluate(known, now.step, _epoch(now), now.time) is True

    def value(self, values: dict[str, float], now: Moment) -> float | None:
        """The left side of the first comparison; None where it is not finite or not known."""
        if not self.signals <= values.keys():
            return None
        value = self.programs[0].value(values, now.step, _epoch(now), now.time)
        return float(value) if value - value == 0.0 else None

    def learner(self, fresh: frozenset[str], known: frozenset[str], *, frozen: bool) -> Learn:
        """Feeds a sample of the ``fresh`` signals to all statistics of the rule."""
        learners = [program.learner(fresh, known, frozen=frozen) for program in self.programs]
        if len(learners) == 1:
            return learners[0]

        def both(values: dict[str, float], step: int, epoch: float, time: float) -> None:
            for learn in learners:
                learn(values, step, epoch, time)

        return both

    def summary(self, values: Mapping[str, float], now: Moment) -> str:
        """The annotation ``summary``, filled in."""
        text = self.rule.annotations.get("summary", "")
        fields: dict[str, float | int | str] = {**values, "rule": self.rule.name, "step": now.step}
        if now.epoch is not None:
            fields["epoch"] = now.epoch
        if self.signals <= values.keys():
            fields["value"] = float(self.programs[0].value(dict(values), now.step, _epoch(now), now.time))
        return fill(text, fields)

    def status(self, values: dict[str, float], now: Moment | None) -> RuleStatus:
        value = None if now is None else self.value(values, now)
        onset = None if self.onset is None else self.onset.step
        rule = self.rule
        return RuleStatus(rule.name, rule.group, self.state, value, onset, self.evaluations, self.unknown)

    def snapshot(self) -> list[Any]:
        return [program.snapshot() for program in self.programs]

    def restore(self, snapshot: list[Any]) -> None:
        for program, data in zip(self.programs, snapshot, strict=True):
            program.restore(data)

    def reset(self) -> None:
        """As on the first day."""
        for program in self.programs:
            program.reset()
        self.memory = Memory()
        self.calm()


def _epoch(now: Moment) -> float:
    return float("nan") if now.epoch is None else now.epoch
