"""Running a scenario, and telling what was not as expected."""

from collections.abc import Callable
from math import isclose
from typing import Any, NamedTuple

from trainguard_rules.rulebook import RuleBook
from trainguard_rules.ruletest.scenario import END, ActionWanted, Check, Scenario, Subject, describe
from trainguard_rules.ruletest.trainer import SimulatedTrainer
from trainguard_wire.journal import Transition

NONE = "none"


class Failure(NamedTuple):
    """An expectation that was not met. ``background`` is what helps to see why, as label and text."""

    scenario: str
    check: Check
    expected: str
    got: str
    background: tuple[tuple[str, str], ...] = ()

    def lines(self, file: str) -> list[str]:
        """For a person to read: where, what, expected, got, and the background."""
        check = self.check
        at = "at the end" if check.step == END else f"step {check.step}"
        head = f'{file}:{check.line}:{check.column}: test "{self.scenario}", {at}'
        head += f": {check.rule}: {check.subject}" if check.rule else f": {check.subject}"
        rows = [("expected", self.expected), ("got", self.got), *self.background]
        return [head, *(f"    {label + ':':<10} {text}" for label, text in rows)]


def run_scenario(scenario: Scenario, book: RuleBook) -> list[Failure]:
    """Run one test; what was not as expected, in the order of the steps."""
    trainer = SimulatedTrainer(book, scenario)
    waiting = sorted(scenario.checks, key=lambda check: (check.step == END, check.step))
    failures = []
    for step in trainer.run():
        while waiting and (waiting[0].step == step or step == END):
            check = waiting.pop(0)
            if (failure := _judge(check, trainer, scenario.name)) is not None:
                failures.append(failure)
    return failures


class _Finding(NamedTuple):
    """Whether a check holds, and the two sides in words."""

    holds: bool
    expected: str
    got: str


def _judge(check: Check, trainer: SimulatedTrainer, scenario: str) -> Failure | None:
    finding = _JUDGES[check.subject](check, trainer)
    if finding.holds:
        return None
    return Failure(scenario, check, finding.expected, finding.got, tuple(_background(check, trainer)))


def _word(wanted: str, got: str) -> _Finding:
    return _Finding(wanted == got, wanted, got)


def _state(check: Check, trainer: SimulatedTrainer) -> _Finding:
    [status] = [status for status in trainer.engine.status() if status.name == check.rule]
    return _word(check.wanted, status.state)


def _verdict(check: Check, trainer: SimulatedTrainer) -> _Finding:
    """A rule that escalates may have several verdicts at one step: any of them will do."""
    decisions = trainer.ledger.decisions.get(check.rule, [])
    got = ", ".join(f"{decision.verdict} ({decision.reason})" for decision in decisions) or NONE
    verdicts: set[str] = {decision.verdict for decision in decisions} or {NONE}
    return _Finding(check.wanted in verdicts, check.wanted, got)


def _actions(check: Check, trainer: SimulatedTrainer) -> _Finding:
    got = [action for intervention in trainer.ledger.issued.get(check.rule, []) for action in intervention.actions]
    wanted: tuple[ActionWanted, ...] = check.wanted
    holds = len(got) == len(wanted) and all(
        a.kind == w.kind and all(_same(a.params.get(name), value) for name, value in w.params.items())
        for a, w in zip(got, wanted, strict=True)
    )
    return _Finding(
        holds,
        ", ".join(map(str, wanted)) or NONE,
        ", ".join(describe(action.kind, action.params) for action in got) or NONE,
    )


def _outcomes(check: Check, trainer: SimulatedTrainer) -> _Finding:
    found = trainer.ledger.outcomes(check.rule)
    statuses = tuple(status for _, status, _ in found) or (NONE,)
    wanted = check.wanted if len(check.wanted) > 1 else check.wanted * len(statuses)
    got = ", ".join(f"{kind} {status}" + (f" ({reason})" if reason else "") for kind, status, reason in found)
    return _Finding(statuses == wanted, ", ".join(check.wanted), got or NONE)


def _interventions(check: Check, trainer: SimulatedTrainer) -> _Finding:
    return _word(str(check.wanted), str(trainer.ledger.interventions))


def _reached(check: Check, trainer: SimulatedTrainer) -> _Finding:
    reached = trainer.ledger.reached.get(check.rule)
    if reached is None:
        return _word(check.wanted, "waiting")
    word = "met" if reached.met else "missed"
    return _Finding(word == check.wanted, check.wanted, f"{word} at step {reached.step} ({reached.reason})")


_JUDGES: dict[Subject, Callable[[Check, SimulatedTrainer], _Finding]] = {
    "state": _state,
    "verdict": _verdict,
    "actions": _actions,
    "outcomes": _outcomes,
    "interventions": _interventions,
    "reached": _reached,
}


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(got, int | float) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return isclose(got, wanted, rel_tol=1e-9)
    return bool(got == wanted)


def _background(check: Check, trainer: SimulatedTrainer) -> list[tuple[str, str]]:
    """The value of the rule and how it came to its state; where the run was stopped."""
    background: list[tuple[str, str]] = []
    value = {status.name: status.value for status in trainer.engine.status()}
    if check.rule in value:
        known = value[check.rule]
        transitions = trainer.ledger.transitions.get(check.rule, ())
        background.append(("value", "unknown" if known is None else f"{known:.6g}"))
        background.append(("history", "; ".join(map(_told, transitions)) or "never left inactive"))
    stopped_at = trainer.machine.step
    if check.step > stopped_at:
        background.append(("note", f"the run was stopped at step {stopped_at}"))
    return background


def _told(transition: Transition) -> str:
    return f"step {transition.step} {transition.before} -> {transition.after}"
