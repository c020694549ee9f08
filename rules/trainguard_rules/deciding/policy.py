"""Policy: may a firing rule act? The answer is one of a closed set of verdicts, with a reason in words.

The questions are asked in one order, the first that objects gives the verdict: can the trainer do it
(``hold_unsupported``), does ``unless`` inhibit it (``hold_inhibited``), is an intervention under way
(``hold_outranked`` where it was decided on this very sample, else ``hold_in_flight``), has one only just taken
effect, or would a restore be one too many (``hold_settling``, see `restores`), has the rule acted too recently
(``hold_cooldown``) or too often (``hold_limit``)? If nothing objects the rule acts; or, in mode ``approve``, asks
a person (``await_approval``); or, in mode ``observe``, says that it would have acted, which for its cooldown and
limit counts the same, and for settling.

A rule that only notifies does nothing to the training, so that nothing under way stands in its way. Where it has no
cooldown, it tells of an incident once (``hold_cooldown``).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from trainguard_rules.durations import Moment, elapsed
from trainguard_rules.rulebook import PlannedAction, Rule, only_tells, restores
from trainguard_rules.watching.memory import Memory
from trainguard_wire.control import Intervention
from trainguard_wire.journal import Mode, Verdict


class Answer(NamedTuple):
    """A verdict and why."""

    verdict: Verdict
    reason: str


class Situation(NamedTuple):
    """What policy has to know beside the rule and its memory."""

    now: Moment
    offered: Collection[str] | None
    inhibited: bool = False
    in_flight: Intervention | None = None
    settled_at: Moment | None = None  # when an action last took effect
    restores_from: int = 0  # the first step at which a restore is allowed


def ask(rule: Rule, memory: Memory, situation: Situation, reason: str = "") -> Answer:
    """The answer to a firing rule that has actions. ``reason`` it fires for, where that is not its expression."""
    now = situation.now
    return (
        obstacle(rule, rule.actions, situation)
        or _just_said(rule, memory, now)
        or _has_told(rule, memory)
        or _too_soon(rule, memory, now)
        or _too_often(rule, memory, now)
        or go(rule, f"{rule.source} held for {rule.for_}" if rule.for_.amount else reason or rule.source)
    )


def obstacle(rule: Rule, actions: Sequence[PlannedAction], situation: Situation) -> Answer | None:
    """What stands in the way of these actions, whatever the rule has done before."""
    if answer := unsupported((need for action in actions for need in action.needs), situation.offered):
        return answer
    if situation.inhibited and rule.unless is not None:
        return Answer("hold_inhibited", f"unless: {rule.unless.source}")
    if only_tells(actions):
        return None
    return under_way(situation.in_flight, situation.now) or _unsettled(rule, actions, situation)


def under_way(intervention: Intervention | None, now: Moment) -> Answer | None:
    """The objection that something is in flight, if it is; outranked by what was decided at this very step."""
    if intervention is None:
        return None
    same = intervention.step == now.step
    return Answer("hold_outranked" if same else "hold_in_flight", f"{intervention.id} is under way")


def unsupported(needs: Iterable[str], offered: Collection[str] | None) -> Answer | None:
    """The objection that the trainer can't do it, if it can't."""
    if offered is None:
        return Answer("hold_unsupported", "no trainer has introduced itself yet")
    missing = [need for need in needs if need not in offered]
    return Answer("hold_unsupported", f"this trainer does not offer {', '.join(missing)}") if missing else None


_ASKED: dict[Mode, Answer] = {
    "approve": Answer("await_approval", "mode is approve: waiting for a person"),
    "observe": Answer("observe", "mode is observe: would have acted"),
}


def go(rule: Rule, reason: str) -> Answer:
    """Nothing objects: what that means in the rule's mode."""
    return Answer("act", reason) if rule.mode == "act" else _ASKED[rule.mode]


def _unsettled(rule: Rule, actions: Sequence[PlannedAction], situation: Situation) -> Answer | None:
    now, since = situation.now, situation.settled_at
    if since is not None and not rule.settle.passed(since, now):
        gone = elapsed(since, now, rule.settle.unit)
        return Answer("hold_settling", f"{gone:.0f} of {rule.settle} since an action took effect, at step {since.step}")
    if restores(actions) and now.step < situation.restores_from:
        reason = f"no new good checkpoint since the last restores: not before step {situation.restores_from}"
        return Answer("hold_settling", reason)
    return None


def _just_said(rule: Rule, memory: Memory, now: Moment) -> Answer | None:
    """A rule that only observes settles by what it said, as it would by what it had done."""
    if rule.mode != "observe" or only_tells(rule.actions) or not memory.acted:
        return None
    last = memory.acted[-1]
    if rule.settle.passed(last, now):
        return None
    gone = elapsed(last, now, rule.settle.unit)
    return Answer("hold_settling", f"{gone:.0f} of {rule.settle} since it would have acted, at step {last.step}")


def _has_told(rule: Rule, memory: Memory) -> Answer | None:
    """A rule that only notifies, and has no cooldown, does so once in an incident; of alerts, each once."""
    if rule.cooldown.amount or rule.alert is not None or not memory.lately or not only_tells(rule.actions):
        return None
    return Answer("hold_cooldown", "it has told of this incident; with a cooldown it would go on telling")


def _too_soon(rule: Rule, memory: Memory, now: Moment) -> Answer | None:
    if not memory.acted or rule.cooldown.passed(memory.acted[-1], now):
        return None
    gone = elapsed(memory.acted[-1], now, rule.cooldown.unit)
    return Answer(
        "hold_cooldown", f"{gone:.0f} of {rule.cooldown} since it last acted, at step {memory.acted[-1].step}"
    )


def _too_often(rule: Rule, memory: Memory, now: Moment) -> Answer | None:
    if rule.limit is None or not memory.acted:
        return None
    count = memory.count(rule, now)
    if rule.limit.per is not None and rule.limit.per.passed(memory.acted[0], now):
        count -= 1
    often = "once" if count == 1 else f"{count} times"
    return Answer("hold_limit", f"it has acted {often}: {rule.limit}") if count >= rule.limit.times else None
