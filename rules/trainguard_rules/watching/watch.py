"""One rule at work: its programs, its state, its memory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from trainguard_rules.durations import Moment
from trainguard_rules.expr import Program, compile_program
from trainguard_rules.rulebook import Clause, PlannedAction, Rule
from trainguard_rules.watching.alerting import Trigger
from trainguard_rules.watching.alerts import advance
from trainguard_rules.watching.memory import Memory, cooldown_left, limit_left
from trainguard_rules.watching.template import fill
from trainguard_rules.watching.verification import Trial
from trainguard_wire.journal import AlertState, Decision, Mode, Transition, Verdict


class RuleStatus(NamedTuple):
    """What there is to show of a rule. ``value`` is the left side of its first comparison.

    ``since_step`` and ``since_time`` say when its condition turned true, None while it is inactive.
    """

    name: str
    group: str
    state: AlertState
    value: float | None
    since_step: int | None
    evaluations: int
    unknown: int
    since_time: float | None = None
    mode: Mode = "act"


class RuleDetail(NamedTuple):
    """What it takes a little work to know of a rule.

    ``threshold`` is the right side of its first comparison, ``decided`` its last decision, ``annotations`` are
    filled in. ``cooldown_left`` is counted in the unit of its cooldown, ``limit_left`` says how often it may still
    act, None where it has no limit.
    """

    rule: Rule
    status: RuleStatus
    threshold: float | None
    annotations: dict[str, str]
    decided: Decision | None
    cooldown_left: float
    limit_left: int | None


class Uncomputable(ValueError):
    """A formula of an action that gives no number the action can have. Says why."""


class Watch:
    """A rule and everything that changes about it. ``evaluations`` and ``unknown`` count results.

    ``quiet`` says that there is nothing to look after: inactive, and no intervention on trial. In an incident,
    ``called`` says that the rule decided to act, ``heard`` that the trainer answered, ``escalation`` is the id of the
    intervention by which it has played its last card, "" before, and ``objected`` says that it is on record that this
    can't be carried out. ``trigger`` is what fires it where no expression does.
    """

    def __init__(self, rule: Rule, index: int) -> None:
        self.rule = rule
        self.index = index
        self.trigger = None if rule.alert is None else Trigger(rule.alert)
        self.when = compile_program(rule.when.node, f"r{index}_")
        self.resolve = self._program(rule.resolve, "r")
        self.unless = self._program(rule.unless, "u")
        self.verify = self._program(rule.verify and rule.verify.clause, "v")
        self.formulas = self._formulas()
        programs = (self.when, self.resolve, self.unless, self.verify, *self.formulas.values())
        self.programs = [p for p in programs if p is not None]
        freezing = (self.when, self.resolve, *self.formulas.values())
        self.freezing = () if rule.rolling else tuple(p for p in freezing if p is not None)
        self.signals = frozenset[str]().union(*(program.signals for program in self.programs))
        self.wants_every_sample = any(program.wants_every_sample for program in self.programs)
        self.evaluations = 0
        self.unknown = 0
        self.memory = Memory()
        self.trial: Trial | None = None
        self.state: AlertState = "inactive"
        self.shown: float | None = None
        self.onset: Moment | None = None
        self.last_true: Moment | None = None
        self.verdict: Verdict | None = None
        self.decided: Decision | None = None
        self.objected = False
        self._onset: list[float | None] | None = None  # what `verify` keeps of it, for the next trial
        self.calm()

    def _program(self, clause: Clause | None, letter: str) -> Program | None:
        return None if clause is None else compile_program(clause.node, f"r{self.index}{letter}_")

    def _formulas(self) -> dict[Clause, Program]:
        """What computes the parameters of the rule's actions. Its references freeze with the rule's own."""
        clauses = dict.fromkeys(a.formula for a in (*self.rule.actions, *self.rule.escalate) if a.formula is not None)
        return {clause: compile_program(clause.node, f"r{self.index}f{i}_") for i, clause in enumerate(clauses)}

    def computed(
        self, actions: Sequence[PlannedAction], values: dict[str, float], now: Moment
    ) -> tuple[PlannedAction, ...]:
        """The actions with numbers in place of their formulas. Raises `Uncomputable`."""
        return tuple(self._computed(action, values, now) for action in actions)

    def _computed(self, action: PlannedAction, values: dict[str, float], now: Moment) -> PlannedAction:
        if action.formula is None:
            return action
        value = self.formulas[action.formula].reading(values, now)
        name = f"{action.kind}: {action.model.computed} is {action.formula.source}"
        if value is None:
            raise Uncomputable(f"{name}, and that is not known, or not finite")
        try:
            return action.computed(value)
        except ValidationError as error:
            raise Uncomputable(f"{name}, which is {value:g}: {error.errors()[0]['msg']}") from None

    def advance(self, values: dict[str, float], now: Moment) -> tuple[AlertState, bool | None]:
        """Move the state by one evaluation; gives the state before, and the condition."""
        before = self.state
        condition = self.when.evaluate(values, *now.clock) if self.trigger is None else bool(self.trigger)
        if condition is None:
            self.unknown += 1
        if condition:
            self.last_true = now
            if before == "inactive":
                self.onset = now
                self.objected = self.memory.lately = False
                self._capture(values, now)
        staying = condition if before != "firing" else self._stays(condition, values, now)
        self.state = advance(
            before,
            staying,
            held=self.onset is not None and self.rule.for_.passed(self.onset, now),
            lapsed=self.last_true is None or self.rule.keep_firing_for.passed(self.last_true, now),
        )
        self.shown = self.value(values, now)
        if self.state == "inactive":
            self.calm()
        self.quiet = self.state == "inactive" and self.trial is None
        return before, condition

    def transition(
        self, before: AlertState, generation: int, now: Moment, values: dict[str, float], reason: str
    ) -> Transition:
        """That the state has changed, for the journal."""
        return Transition(
            step=now.step,
            generation=generation,
            time=now.time,
            rule=self.rule.name,
            before=before,
            after=self.state,
            value=self.value(values, now),
            reason=reason,
        )

    def calm(self) -> None:
        """Back to inactive: the incident is over, references may learn again."""
        self.state, self.verdict = "inactive", None
        self.onset = self.last_true = None
        self.called = self.heard = False
        self.escalation = ""
        self.quiet = self.trial is None
        self.release()
        for program in self.programs:
            if program is not self.verify:  # a trial outlives the incident
                program.forget_onset()

    def release(self) -> None:
        """Frozen references begin anew to count how long they have been frozen."""
        for program in self.freezing:
            program.release()

    def begin_trial(self, trial: Trial | None) -> None:
        """``verify`` is about the incident at hand from now on. None: no intervention is on trial any more."""
        self.trial = trial
        if trial is not None and self.verify is not None and self._onset is not None:
            self.verify.capture(self._onset)
        self.quiet = self.state == "inactive" and trial is None

    def retry(self, intervention: str) -> None:
        """What was decided never reached the trainer, or no person answered it: it may be decided again."""
        if self.trigger is not None:
            self.trigger.ask_again()
        if self.escalation == intervention:
            self.escalation = ""
        if self.trial is not None and self.trial.remedy == intervention:
            self.trial.remedy = ""

    def start_trial_afresh(self, action: str) -> None:
        """An action of the intervention on trial took effect: ``verify`` is to look at what comes after."""
        if self.trial is not None and self.verify is not None and action in self.trial.actions:
            self.verify.restart()

    def verified(self, values: dict[str, float], now: Moment) -> bool | None:
        """Whether ``verify`` holds."""
        return None if self.verify is None else _ask(self.verify, values, now)

    def verify_value(self, values: dict[str, float], now: Moment) -> float | None:
        """The left side of the first comparison of ``verify``."""
        return None if self.verify is None else self.verify.reading(values, now)

    def inhibited(self, values: dict[str, float], now: Moment) -> bool:
        """Whether ``unless`` is true. Unknown, a signal never seen among it, does not inhibit."""
        return self.unless is not None and _ask(self.unless, values, now) is True

    def value(self, values: dict[str, float], now: Moment) -> float | None:
        """The left side of the first comparison; None where it is not finite or not known."""
        return self.when.reading(values, now) if self.trigger is None else None

    def summary(self, values: dict[str, float], now: Moment) -> str:
        """The annotation ``summary``, filled in."""
        return self.filled(self.rule.annotations.get("summary", ""), values, now)

    def filled(self, text: str, values: dict[str, float], now: Moment) -> str:
        """A text with fields, filled in."""
        return fill(text, self._fields(values, now))

    def annotations(self, values: dict[str, float], now: Moment) -> dict[str, str]:
        """All annotations, filled in."""
        fields = self._fields(values, now)
        return {key: fill(text, fields) for key, text in self.rule.annotations.items()}

    def _fields(self, values: dict[str, float], now: Moment) -> dict[str, float | int | str]:
        fields: dict[str, float | int | str] = {**values, "rule": self.rule.name, "step": now.step}
        if now.epoch is not None:
            fields["epoch"] = now.epoch
        if self.trigger is None and self.when.needed <= values.keys():
            fields["value"] = float(self.when.value(values, *now.clock))
        return fields

    def status(self, values: dict[str, float], now: Moment | None, evaluations: int) -> RuleStatus:
        value = None if now is None else self.value(values, now) if self.quiet else self.shown
        step, _, time = self.onset or (None, None, None)
        rule = self.rule
        return RuleStatus(rule.name, rule.group, self.state, value, step, evaluations, self.unknown, time, rule.mode)

    def detail(self, values: dict[str, float], now: Moment | None, evaluations: int) -> RuleDetail:
        """`status`, and what else there is to show."""
        rule = self.rule
        return RuleDetail(
            rule=rule,
            status=self.status(values, now, evaluations),
            threshold=None if now is None else self.when.threshold(values, now),
            annotations=rule.annotations if now is None else self.annotations(values, now),
            decided=self.decided,
            cooldown_left=0.0 if now is None else cooldown_left(rule, self.memory, now),
            limit_left=limit_left(rule, self.memory, now),
        )

    def snapshot(self) -> list[Any]:
        return [program.snapshot() for program in self.programs]

    def restore(self, snapshot: list[Any], gone: Moment) -> None:
        """Statistics as they were, so long ago; what an incident captured stays."""
        for program, data in zip(self.programs, snapshot, strict=True):
            program.restore(data, gone)

    def reset(self, step: int) -> None:
        """As on the first day, with the run beginning after ``step``."""
        for program in self.programs:
            program.reset(step)
        self.memory, self.trial, self.decided, self._onset, self.objected = Memory(), None, None, None, False
        if self.trigger is not None:
            self.trigger.ask_again()
        self.calm()

    def _stays(self, condition: bool | None, values: dict[str, float], now: Moment) -> bool | None:
        """Whether a firing rule has reason to go on: until ``resolve_expr`` holds, where there is one."""
        if self.resolve is None or condition:
            return condition
        resolved = _ask(self.resolve, values, now)
        return None if resolved is None else not resolved

    def _capture(self, values: dict[str, float], now: Moment) -> None:
        for program in self.programs:
            if program is self.verify:
                self._onset = program.onset(values, now)
            else:
                program.capture(program.onset(values, now))


def _ask(program: Program, values: dict[str, float], now: Moment) -> bool | None:
    known = dict.fromkeys(program.needed, float("nan")) | values
    return program.evaluate(known, *now.clock)
