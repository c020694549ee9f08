"""From firing rules to interventions, and from interventions to whether they helped.

Policy gives the answer; here it is recorded, and what it lets through is put in the air, put before a person, or
put on trial. Everything a rule does goes through `_answer`: its actions, its escalation, a reversal.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from trainguard_rules import policy
from trainguard_rules.actions import ACTIONS
from trainguard_rules.durations import Moment
from trainguard_rules.interventions import Interventions, plan, withdrawn
from trainguard_rules.output import Output
from trainguard_rules.policy import Answer
from trainguard_rules.restores import RestoreBar
from trainguard_rules.rulebook import PlannedAction
from trainguard_rules.watch import Watch
from trainguard_wire.control import Action, Intervention
from trainguard_wire.journal import Approval, Decision, Verification
from trainguard_wire.telemetry import Ack, Record

Values = dict[str, float]


@dataclass
class _Request:
    """Put before a person. ``first`` tells a rule's own actions from its escalation; ``approved`` says by whom."""

    watch: Watch
    intervention: Intervention
    first: bool
    approved: str = ""


class Decisions:
    """The decisions of one run. ``offered`` are the actions of its trainer, None before its hello."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.offered: Collection[str] | None = None
        self.bar = RestoreBar()
        self.interventions = Interventions(watches)
        self._requests: dict[str, _Request] = {}
        self._settled_at: Moment | None = None

    @property
    def in_flight(self) -> bool:
        """Whether an intervention is under way."""
        return bool(self.interventions.flight)

    @property
    def waiting(self) -> bool:
        """Whether anything may expire: an intervention under way, or a request before a person."""
        return bool(self.interventions.flight or self._requests)

    def decide(self, watch: Watch, values: Values, generation: int, now: Moment, output: Output) -> None:
        """Answer a rule that fires on this sample and has actions."""
        rule = watch.rule
        situation = self._situation(watch, values, now)
        answer = policy.ask(rule, watch.memory, situation)
        if answer.verdict == "hold_limit" and self._may_escalate(watch, situation):
            self._escalate(watch, values, generation, now, output, answer.reason)
        elif answer.verdict in ("act", "observe"):
            watch.memory.add(rule, now)
            self._answer(watch, rule.actions, answer, values, generation, now, output)
        elif answer.verdict != watch.verdict:
            self._answer(watch, rule.actions, answer, values, generation, now, output)

    def judge(self, watch: Watch, values: Values, generation: int, now: Moment, output: Output) -> None:
        """Look after an intervention on trial: did it help, and what if not?"""
        trial, verify = watch.trial, watch.rule.verify
        if trial is None or verify is None or trial.since is None or watch.verify is None:
            return
        if not trial.failed:
            helped = watch.verified(values, now)
            if not helped and not verify.within.passed(trial.since, now):
                return
            output.journal.append(
                Verification(
                    step=now.step,
                    generation=generation,
                    time=now.time,
                    rule=watch.rule.name,
                    intervention=trial.intervention.id,
                    helped=bool(helped),
                    value=watch.verify_value(values, now),
                    reason=verify.clause.source if helped else f"not within {verify.within}: {verify.clause.source}",
                )
            )
            trial.failed = not helped
        situation = self._situation(watch, values, now)
        escalates = trial.failed and verify.otherwise == "escalate" and not watch.escalated
        if trial.failed and (situation.in_flight or (escalates and not self._may_escalate(watch, situation))):
            return  # first things first: the remedy follows when nothing stands in its way
        watch.begin_trial(None)
        if trial.failed and verify.otherwise == "revert":
            self._revert(watch, trial.undoing, values, generation, now, output)
        elif escalates:
            self._escalate(watch, values, generation, now, output, f"{trial.intervention.id} did not help")

    def acknowledge(self, ack: Ack, epoch: int | None, output: Output) -> None:
        """Take in what the trainer says of an action."""
        if outcome := self.interventions.acknowledged(ack, epoch):
            output.journal.append(outcome)
        kind = ACTIONS.get(ack.kind)
        if ack.status == "applied" and kind is not None and kind.rank > 0:
            self._settled_at = Moment(ack.step, epoch, ack.time)
        if ack.status == "applied" and ack.kind == "restore_checkpoint":
            self.bar.restored(ack.step)

    def approve(self, approval: Approval, values: Values, generation: int, now: Moment, output: Output) -> None:
        """Take in a person's answer. One that comes too late, or to nothing that was asked, changes nothing."""
        request = self._requests.get(approval.intervention)
        if request is None:
            return
        if approval.approved:
            request.approved = approval.by
            self._act_on_approval(request, values, generation, now, output)
        else:
            request.watch.memory.add(request.watch.rule, now)
            record = Record(step=now.step, generation=generation, time=approval.time)
            self._withdraw(request, record, f"denied by {approval.by}", output)

    def expire(self, record: Record, values: Values, now: Moment, output: Output) -> None:
        """Give up what the trainer has not answered, and what nobody has approved, in time."""
        output.journal.extend(self.interventions.give_up(record, "no acknowledgement before it expired", record.step))
        for request in list(self._requests.values()):
            if record.step > request.intervention.expires_step:
                self._withdraw(request, record, "nobody approved it in time", output)
            elif request.watch.state == "inactive":
                self._withdraw(request, record, "the incident is over", output)
            elif request.approved:
                self._act_on_approval(request, values, record.generation, now, output)

    def lose(self, record: Record, reason: str, output: Output) -> None:
        """Give up everything: there is nobody left to do it."""
        output.journal.extend(self.interventions.give_up(record, reason))
        for request in list(self._requests.values()):
            self._withdraw(request, record, reason, output)

    def restart(self) -> None:
        """A new trainer process: nothing has happened yet."""
        self.bar, self._settled_at = RestoreBar(), None

    def _situation(self, watch: Watch, values: Values, now: Moment) -> policy.Situation:
        settle = watch.rule.settle
        return policy.Situation(
            now=now,
            offered=self.offered,
            inhibited=watch.inhibited(values, now),
            in_flight=self.interventions.flight.newest,
            settled_at=self._settled_at,
            restores_from=self.bar.open_from(settle.amount if settle.unit == "steps" else 1),
        )

    def _may_escalate(self, watch: Watch, situation: policy.Situation) -> bool:
        """An escalation asks what the rule itself asks, but for its cooldown and its limit."""
        rule = watch.rule
        return bool(rule.escalate) and not watch.escalated and policy.obstacle(rule, rule.escalate, situation) is None

    def _act_on_approval(self, request: _Request, values: Values, generation: int, now: Moment, output: Output) -> None:
        """As soon as the air is free."""
        if self.interventions.flight:
            return
        watch = request.watch
        del self._requests[request.intervention.id]
        watch.memory.add(watch.rule, now)
        watch.verdict = None
        planned = watch.rule.actions if request.first else watch.rule.escalate
        answer = Answer("act", f"approved by {request.approved}")
        self._answer(watch, planned, answer, values, generation, now, output, "" if request.first else ".escalate")

    def _escalate(self, watch: Watch, values: Values, generation: int, now: Moment, output: Output, why: str) -> None:
        watch.escalated = True
        answer = policy.unsupported(watch.rule.escalate, self.offered) or policy.go(watch.rule, f"escalation: {why}")
        self._answer(watch, watch.rule.escalate, answer, values, generation, now, output, suffix=".escalate")

    def _revert(
        self,
        watch: Watch,
        undoing: Callable[[str], tuple[Action, ...]],
        values: Values,
        generation: int,
        now: Moment,
        output: Output,
    ) -> None:
        intervention = plan(watch, (), generation, now, "reverted: it did not help", ".revert")
        actions = undoing(intervention.id)
        if not actions:
            return
        reverting = Intervention(
            id=intervention.id,
            rule=intervention.rule,
            step=intervention.step,
            generation=generation,
            expires_step=intervention.expires_step,
            actions=actions,
            reason=intervention.reason,
        )
        self.interventions.issue(watch, reverting, on_trial=False)
        output.control.append(reverting)
        self._record(watch, Answer("act", reverting.reason), reverting, values, generation, now, output)

    def _answer(
        self,
        watch: Watch,
        planned: Sequence[PlannedAction],
        answer: Answer,
        values: Values,
        generation: int,
        now: Moment,
        output: Output,
        suffix: str = "",
    ) -> None:
        intervention = plan(watch, planned, generation, now, answer.reason, suffix)
        first = not suffix
        if answer.verdict == "act":
            self.interventions.issue(watch, intervention, on_trial=first)
            output.control.append(intervention)
        elif answer.verdict == "await_approval":
            self._requests[intervention.id] = _Request(watch, intervention, first)
        if first:
            watch.verdict = answer.verdict
        self._record(watch, answer, intervention, values, generation, now, output)

    def _record(
        self,
        watch: Watch,
        answer: Answer,
        intervention: Intervention,
        values: Values,
        generation: int,
        now: Moment,
        output: Output,
    ) -> None:
        issued = answer.verdict in ("act", "await_approval")
        output.journal.append(
            Decision(
                step=now.step,
                generation=generation,
                time=now.time,
                rule=watch.rule.name,
                verdict=answer.verdict,
                reason=answer.reason,
                value=watch.value(values, now),
                onset=(watch.onset or now).step,
                summary=watch.summary(values, now),
                intervention=intervention.id if issued else None,
                actions=intervention.actions,
            )
        )

    def _withdraw(self, request: _Request, record: Record, reason: str, output: Output) -> None:
        del self._requests[request.intervention.id]
        request.watch.verdict = None
        output.journal.extend(withdrawn(record, request.intervention, reason))
