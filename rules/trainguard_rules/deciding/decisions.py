"""From firing rules to interventions, and from interventions to whether they helped.

Policy gives the answer; here it is recorded, and what it lets through is put in the air, put before a person, or
put on trial. Everything a rule does goes through `_answer`: its actions, its escalation, a reversal.

*In hindsight* nothing is decided: what was really decided, under other rules, is on record and is taken from there
(`recall`), so that cooldowns, limits and what is in the air are what they really are.
"""

from collections.abc import Collection, Iterable, Sequence

from trainguard_rules.actions import ACTIONS
from trainguard_rules.deciding import policy
from trainguard_rules.deciding.hindsight import in_force, remember
from trainguard_rules.deciding.interventions import ESCALATE, REVERT, Interventions, again, identity_of, plan
from trainguard_rules.deciding.notices import Notices
from trainguard_rules.deciding.orders import Orders
from trainguard_rules.deciding.policy import Answer
from trainguard_rules.deciding.requests import Request, Requests
from trainguard_rules.deciding.restores import RestoreBar
from trainguard_rules.deciding.scene import Scene
from trainguard_rules.durations import Moment
from trainguard_rules.output import Output
from trainguard_rules.rulebook import MANUAL, PlannedAction, Verify
from trainguard_rules.watching.verification import Trial
from trainguard_rules.watching.watch import Uncomputable, Watch
from trainguard_wire.control import Intervention
from trainguard_wire.journal import AlertNotice, Approval, Decision, Delivered, Input, Order, Verification
from trainguard_wire.telemetry import Ack, Record


class Decisions:
    """The decisions of one run. ``offered`` are the actions of its trainer, None before its hello."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.offered: Collection[str] | None = None
        self.bar = RestoreBar()
        self.interventions = Interventions(watches)
        self.notices = Notices(watches)
        self.requests = Requests()
        self.orders = Orders(self.interventions)
        self._past: list[Decision] | None = None  # in hindsight: what was decided on this record
        self._settled_at: Moment | None = None

    @property
    def in_flight(self) -> bool:
        """Whether an intervention is under way."""
        return bool(self.interventions.flight)

    @property
    def waiting(self) -> bool:
        """Whether anything may expire: an intervention under way, or a request before a person."""
        return bool(self.interventions.flight or self.requests)

    @property
    def in_hindsight(self) -> bool:
        return self._past is not None

    def decide(self, watch: Watch, scene: Scene) -> None:
        """Answer a rule that fires on this sample and has actions."""
        if self._past is not None:
            return
        rule = watch.rule
        situation = self._situation(watch, scene)
        answer = policy.ask(rule, watch.memory, situation, "" if watch.trigger is None else watch.trigger.reason)
        if answer.verdict == "hold_limit" and self._escalate(watch, answer.reason, situation, scene):
            return
        actions, answer = _computed(watch, rule.actions, answer, scene)
        if answer.verdict in ("act", "observe"):
            watch.memory.add(rule, scene.now)
        elif answer.verdict == watch.verdict or (answer.verdict == "await_approval" and self.requests.has_asked(watch)):
            return
        watch.verdict = answer.verdict
        if watch.trigger is not None:
            watch.trigger.answered(answer.verdict)
        self._answer(watch, plan(watch, actions, scene, answer.reason), answer, scene)

    def judge(self, watch: Watch, scene: Scene) -> None:
        """Look after an intervention on trial: did it help, and what if not?"""
        trial, verify = watch.trial, watch.rule.verify
        if trial is None or verify is None or trial.since is None:
            return
        request = self.requests.find(trial.remedy)
        if trial.remedy and request is None:  # told, or only said
            if all(i.id != trial.remedy for i in self.interventions.flight.interventions):
                watch.begin_trial(None)
            return
        late, helped = trial.failed, bool(watch.verified(scene.values, scene.now))
        if not helped and not late and not verify.within.passed(trial.since, scene.now):
            return
        if helped or not late:
            trial.failed = not helped
            said = f"after all: {verify.clause.source}" if late else verify.clause.source
            reason = said if helped else f"not within {verify.within}: {said}"
            self._verified(watch, trial.intervention, helped, reason, scene)
        if not helped:
            self._remedy(watch, trial, verify, scene)
            return
        if request is not None:
            record = Record(step=scene.now.step, generation=scene.generation, time=scene.now.time)
            self.requests.withdraw(request, record, "it helped after all", scene.output)
        watch.begin_trial(None)

    def acknowledge(self, ack: Ack, epoch: int | None, output: Output) -> None:
        """Take in what the trainer says of an action."""
        if outcome := self.interventions.acknowledged(ack, epoch):
            output.journal.append(outcome)
        kind = ACTIONS.get(ack.kind)
        if ack.status == "applied" and kind is not None and kind.rank > 0:
            self._settled_at = Moment(ack.step, epoch, ack.time)
        if ack.status == "applied" and ack.kind == "restore_checkpoint":
            self.bar.restored(ack.step)

    def approve(self, approval: Approval, scene: Scene) -> None:
        """Take in a person's answer. One that comes too late, or to nothing that was asked, changes nothing."""
        request = self.requests.find(approval.intervention)
        if request is None or (self._past is None and not request.is_asked):
            return
        if approval.approved:
            request.approved = approval.by
            self._act_on_approval(request, scene)
        else:
            request.watch.memory.add(request.watch.rule, scene.now)
            record = Record(step=scene.now.step, generation=scene.generation, time=approval.time)
            self.requests.withdraw(request, record, f"denied by {approval.by}", scene.output, denied=True)

    def order(self, order: Order, before_step: int, scene: Scene) -> None:
        """Take in what a person asks for; once, however often they do."""
        self.orders.take(order, self.offered, before_step, None if self._past is not None else scene)

    def is_news(self, record: Input) -> bool:
        """Whether an input would change anything: it was not taken in before, and something waits for it."""
        match record:
            case Approval(intervention=intervention):
                return any(request.id == intervention for request in self.requests.unanswered)
            case Order(id=identity):
                return identity not in self.orders.answers
            case AlertNotice():
                return self.notices.is_news(record)
            case Delivered(action=action):
                return action in self.interventions.notifications

    def delivered(self, record: Delivered, scene: Scene) -> None:
        """Take in what became of a notification."""
        outcome = self.interventions.notifications.settle(record, scene.now.step, scene.generation)
        if outcome is not None:
            scene.output.journal.append(outcome)

    def look_back(self, decided: Iterable[Decision] | None) -> None:
        """In hindsight until this is called with None; ``decided`` is what was decided on the record at hand."""
        self._past = None if decided is None else list(decided)

    def recall(self, scene: Scene) -> None:
        """In hindsight: let what was decided be so."""
        while self._past:
            self._recall(self._past.pop(0), scene)

    def expire(self, record: Record, scene: Scene) -> None:
        """Give up what the trainer has not answered, and what nobody has approved, in time."""
        output = scene.output
        output.journal.extend(self.interventions.give_up(record, "no acknowledgement before it expired", record.step))
        for request in self.requests:
            if self._past is None and not request.is_asked:
                self.requests.withdraw(request, record, f"the rule's mode is {request.watch.rule.mode} now", output)
            elif record.step > request.intervention.expires_step:
                self.requests.withdraw(request, record, "nobody approved it in time", output)
            elif request.first and request.watch.state == "inactive":
                self.requests.withdraw(request, record, "the incident is over", output)
            elif request.approved:
                self._act_on_approval(request, scene)

    def lose(self, record: Record, reason: str, output: Output) -> None:
        """Give up everything: there is nobody left to do it."""
        output.journal.extend(self.interventions.give_up(record, reason))
        for request in self.requests:
            self.requests.withdraw(request, record, reason, output)

    def restart(self) -> None:
        """A new trainer process: nothing has happened yet."""
        self.bar, self._settled_at = RestoreBar(), None

    def _situation(self, watch: Watch, scene: Scene) -> policy.Situation:
        settle = watch.rule.settle
        return policy.Situation(
            now=scene.now,
            offered=self.offered,
            inhibited=watch.inhibited(scene.values, scene.now),
            in_flight=self.interventions.flight.newest,
            settled_at=self._settled_at,
            restores_from=self.bar.open_from(settle.amount if settle.unit == "steps" else 1),
        )

    def _remedy(self, watch: Watch, trial: Trial, verify: Verify, scene: Scene) -> None:
        """It did not help: what else there is to do, as soon as nothing objects, until the trainer has heard of it."""
        reverts = verify.otherwise == "revert"
        if trial.remedy:
            return  # a person was asked
        if not trial.undoings if reverts else watch.escalation:
            watch.begin_trial(None)  # nothing to take back, or to escalate to
        elif self._past is None:
            situation, why = self._situation(watch, scene), f"{trial.intervention.id} did not help"
            if not reverts:
                self._escalate(watch, why, situation, scene)
            elif policy.obstacle(watch.rule, (), situation) is None:
                answer = policy.go(watch.rule, f"reverted: {why}")
                reversal = plan(watch, (), scene, answer.reason, REVERT)
                trial.remedy = reversal.id
                actions = trial.undoing(reversal.id)
                self._answer(watch, again(reversal, actions=actions), answer, scene, first=False)

    def _escalate(self, watch: Watch, why: str, situation: policy.Situation, scene: Scene) -> bool:
        """Escalate, once in an incident, if nothing objects but cooldown and limit; whether that was done.

        An escalation that can't be carried out is said to be so, once in an incident too.
        """
        rule = watch.rule
        if not rule.escalate or watch.escalation:
            return False
        answer = policy.obstacle(rule, rule.escalate, situation) or policy.go(rule, f"escalation: {why}")
        actions, answer = _computed(watch, rule.escalate, answer, scene)
        objection = answer.verdict.startswith("hold_")
        if objection and (answer.verdict != "hold_unsupported" or watch.objected):
            return False
        reason = f"escalation: {answer.reason}" if objection else answer.reason
        escalation = plan(watch, actions, scene, reason, ESCALATE)
        if objection:
            watch.objected = True
        else:
            watch.escalation = escalation.id
            if watch.trial is not None and watch.trial.failed:
                watch.trial.remedy = escalation.id
        self._answer(watch, escalation, Answer(answer.verdict, reason), scene, first=False)
        return not objection

    def _recall(self, decision: Decision, scene: Scene) -> None:
        if decision.rule == MANUAL:
            self.orders.recall(decision, scene)
            return
        watch, identity = self.interventions.watches.get(decision.rule), identity_of(decision.actions)
        request = self.requests.take(identity) if decision.verdict == "act" else None
        first = not identity.endswith((ESCALATE, REVERT)) if request is None else request.first
        if watch is not None:
            remember(watch, decision, scene.now, first=first, approved=request is not None)
        if decision.verdict == "act":
            self.interventions.issue(watch, in_force(decision, watch, scene), decision.time, on_trial=first)
        elif decision.verdict == "await_approval" and watch is not None:
            self.requests.add(Request(watch, in_force(decision, watch, scene), first))

    def _act_on_approval(self, request: Request, scene: Scene) -> None:
        """As soon as the air is free: what was approved, under the id that it was approved by."""
        if self.interventions.flight or self._past is not None:
            return
        watch, step = request.watch, scene.now.step
        self.requests.take(request.intervention.id)
        watch.memory.add(watch.rule, scene.now)
        watch.verdict = None
        answer = Answer("act", f"approved by {request.approved}")
        expires_step = scene.expires_step(watch.rule.expires)
        approved = again(request.intervention, step=step, expires_step=expires_step, reason=answer.reason)
        self._answer(watch, approved, answer, scene, first=request.first)

    def _answer(
        self, watch: Watch, intervention: Intervention, answer: Answer, scene: Scene, *, first: bool = True
    ) -> None:
        """Do what the answer says, and record it. ``first``: these are the rule's own actions."""
        if answer.verdict == "act":
            if told := self.interventions.issue(watch, intervention, scene.now.time, on_trial=first):
                scene.output.control.append(told)
        elif answer.verdict == "await_approval":
            self.requests.add(Request(watch, intervention, first))
        watch.decided = Decision(
            step=scene.now.step,
            generation=scene.generation,
            time=scene.now.time,
            rule=watch.rule.name,
            verdict=answer.verdict,
            reason=answer.reason,
            value=watch.value(scene.values, scene.now),
            onset=(watch.onset or scene.now).step,
            summary=watch.summary(scene.values, scene.now),
            intervention=intervention.id if answer.verdict in ("act", "await_approval") else None,
            actions=intervention.actions,
        )
        scene.output.journal.append(watch.decided)

    def _verified(self, watch: Watch, intervention: Intervention, helped: bool, reason: str, scene: Scene) -> None:
        scene.output.journal.append(
            Verification(
                step=scene.now.step,
                generation=scene.generation,
                time=scene.now.time,
                rule=watch.rule.name,
                intervention=intervention.id,
                helped=helped,
                value=watch.verify_value(scene.values, scene.now),
                reason=reason,
            )
        )


def _computed(
    watch: Watch, actions: Sequence[PlannedAction], answer: Answer, scene: Scene
) -> tuple[Sequence[PlannedAction], Answer]:
    """The actions with their formulas computed; where that can't be, as they are, and the objection."""
    if answer.verdict not in ("act", "observe", "await_approval"):
        return actions, answer
    try:
        return watch.computed(actions, scene.values, scene.now), answer
    except Uncomputable as problem:
        return actions, Answer("hold_unsupported", str(problem))
