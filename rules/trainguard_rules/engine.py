"""The engine: a fold over the telemetry of one run.

``feed`` takes one record and returns what follows from it: lines for the journal and messages for the trainer.
There is no clock, thread or file in here, so the daemon, a replay and the recovery after a crash are the same
fold: same telemetry, same rules, same decisions.

The way of a sample: every rule that looks at one of its signals is evaluated on the past it has learned so
far; rules that are quiet then learn the sample; the others advance their state, and those that fire ask policy,
the highest rank first. What policy lets act becomes an intervention, in flight until the trainer has
acknowledged it or it has expired.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from trainguard_rules import policy
from trainguard_rules.checkpoints import CheckpointBook
from trainguard_rules.durations import Moment
from trainguard_rules.expr.compile import Learn
from trainguard_rules.flight import Flight
from trainguard_rules.rulebook import Rule, RuleBook
from trainguard_rules.watch import RuleStatus, Watch
from trainguard_wire.control import Action, Control, Intervention
from trainguard_wire.journal import Decision, Derived, Outcome, OutcomeStatus, Promoted, Transition
from trainguard_wire.telemetry import Ack, CheckpointSaved, Goodbye, Hello, Record, Sample, Telemetry

MOST_PLANS = 256
_Plan = list[tuple[Watch, Learn, Learn]]


class Output(NamedTuple):
    """What follows from one record."""

    journal: list[Derived]
    control: list[Control]


class Engine:
    """Rules at work on one run. Not for two threads."""

    def __init__(self, book: RuleBook) -> None:
        self.records = 0
        self.late = 0
        self.generation = 0
        self.last: dict[str, float] = {}
        self.nonfinite: Counter[str] = Counter()
        self._watches = [Watch(rule) for rule in book.rules]
        self._by_name = {watch.rule.name: watch for watch in self._watches}
        self._active: set[Watch] = set()
        self._flight = Flight()
        self._checkpoints = CheckpointBook(book.good_after)
        self._offered: frozenset[str] | None = None
        self._now: Moment | None = None
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._output = Output([], [])

    def feed(self, record: Telemetry) -> Output:
        """Fold in one record of telemetry. Never raises on any valid record."""
        self.records += 1
        self._output = output = Output([], [])
        match record:
            case Sample():
                self._sample(record)
            case Ack():
                self._ack(record)
            case CheckpointSaved():
                self._saved(record)
            case Hello():
                self._hello(record)
            case Goodbye():
                self._lose(record, "the training ended")
        return output

    @property
    def busy(self) -> bool:
        """Whether a rule is pending or firing, or an intervention is in flight."""
        return bool(self._active or self._flight)

    def open_control(self) -> list[Control]:
        """What the trainer should have been told and has not answered: due again after a monitor's restart."""
        return [*self._checkpoints.promotions, *self._flight.interventions]

    def status(self) -> list[RuleStatus]:
        return [watch.status(self.last, self._now) for watch in self._watches]

    # -- samples -------------------------------------------------------------------------------------------

    def _sample(self, sample: Sample) -> None:
        if sample.generation != self.generation:
            if sample.generation < self.generation:
                self.late += 1
                return
            self._new_generation(sample, None, "the run went on in a new generation")
        values = sample.all_values()
        self.nonfinite.update(sample.nonfinite.keys())
        known = len(self.last)
        self.last.update(values)
        if len(self.last) > known:  # rules that waited for a signal may come in
            self._plans.clear()
        self._now = now = Moment(sample.step, sample.epoch, sample.time)
        if self._flight:
            self._lose(sample, "no acknowledgement before it expired", sample.step)
        epoch = float("nan") if sample.epoch is None else sample.epoch
        firing = []
        for watch, learn, hold in self._plan(values):
            condition = watch.evaluate(self.last, sample.step, epoch, sample.time)
            watch.evaluations += 1
            if condition is None:
                watch.unknown += 1
            if not condition and watch.state == "inactive":
                learn(self.last, sample.step, epoch, sample.time)
            else:
                if self._advance(watch, condition, now):
                    firing.append(watch)
                (learn if watch.state == "inactive" else hold)(self.last, sample.step, epoch, sample.time)
                if watch.called and not watch.heard:
                    watch.release()  # a level is not accepted as normal before the trainer has heard of it
        for watch in sorted(firing, key=lambda watch: -watch.rule.rank):
            self._decide(watch, now)
        self._judge_health(sample)

    def _plan(self, values: Mapping[str, float]) -> _Plan:
        """The rules a sample of these signals concerns, each with what feeds its statistics."""
        signals = tuple(values)
        plan = self._plans.get(signals)
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            fresh, known = frozenset(signals), frozenset(self.last)
            plan = self._plans[signals] = [
                (watch, watch.learner(fresh, known, frozen=False), watch.learner(fresh, known, frozen=True))
                for watch in self._watches
                if watch.signals <= known and (watch.signals & fresh or not watch.signals)
            ]
        return plan

    def _advance(self, watch: Watch, condition: bool | None, now: Moment) -> bool:
        """Move a rule's state; true if it fires on this sample and has actions."""
        onset = watch.onset
        before = watch.advance(condition, now)
        if watch.state != before:
            since = onset or watch.onset or now
            reason = f"since step {since.step}" if watch.state != "pending" else ""
            self._transition(watch, before, now, reason)
        (self._active.discard if watch.state == "inactive" else self._active.add)(watch)
        return watch.state == "firing" and condition is True and bool(watch.rule.actions)

    def _transition(self, watch: Watch, before: str, now: Moment, reason: str) -> None:
        self._output.journal.append(
            Transition(
                step=now.step,
                generation=self.generation,
                time=now.time,
                rule=watch.rule.name,
                before=before,  # type: ignore[arg-type]
                after=watch.state,
                value=watch.value(self.last, now),
                reason=reason,
            )
        )

    # -- decisions -----------------------------------------------------------------------------------------

    def _decide(self, watch: Watch, now: Moment) -> None:
        rule, onset = watch.rule, watch.onset or now
        situation = policy.Situation(now, self._offered, watch.inhibited(self.last, now), self._flight.newest)
        verdict, reason = policy.ask(rule, watch.memory, situation)
        intervention = None
        if verdict in ("act", "observe"):
            watch.memory.add(rule, now)
        if verdict == "act":
            intervention = self._intervene(rule, onset, now, reason)
            watch.called = True
        elif verdict == watch.verdict:
            return
        watch.verdict = verdict
        self._output.journal.append(
            Decision(
                step=now.step,
                generation=self.generation,
                time=now.time,
                rule=rule.name,
                verdict=verdict,
                reason=reason,
                value=watch.value(self.last, now),
                onset=onset.step,
                summary=watch.summary(self.last, now),
                intervention=intervention.id if intervention else None,
                actions=intervention.actions if intervention else self._actions(rule, onset, rule.name),
            )
        )

    def _intervene(self, rule: Rule, onset: Moment, now: Moment, reason: str) -> Intervention:
        identity = f"{rule.name}.{self.generation}.{now.step}"
        intervention = Intervention(
            id=identity,
            rule=rule.name,
            step=now.step,
            generation=self.generation,
            expires_step=now.step + rule.expires,
            actions=self._actions(rule, onset, identity),
            reason=reason,
        )
        self._flight.add(intervention)
        self._output.control.append(intervention)
        return intervention

    def _actions(self, rule: Rule, onset: Moment, identity: str) -> tuple[Action, ...]:
        actions = []
        for i, (kind, model) in enumerate(rule.actions):
            params = model.params()
            if kind == "restore_checkpoint":
                params["before_step"] = onset.step
            actions.append(Action(id=f"{identity}.{i}", kind=kind, params=params))
        return tuple(actions)

    # -- what the trainer reports --------------------------------------------------------------------------

    def _ack(self, ack: Ack) -> None:
        if found := self._flight.settle(ack.action):
            self._outcome(ack, *found, ack.status, ack.reason, ack)
        if ack.kind == "restore_checkpoint" and ack.status == "applied" and ack.generation > self.generation:
            self._new_generation(ack, ack.checkpoint, f"restored the checkpoint of step {ack.checkpoint}")

    def _lose(self, record: Record, reason: str, step: int | None = None) -> None:
        for intervention, action in self._flight.lose(step):
            self._outcome(record, intervention, action, "lost", reason)

    def _outcome(
        self,
        record: Record,
        intervention: Intervention,
        action: Action,
        status: OutcomeStatus,
        reason: str,
        ack: Ack | None = None,
    ) -> None:
        watch = self._by_name[intervention.rule]
        if status in ("lost", "expired"):
            watch.memory.forget(intervention.step)
        else:
            watch.heard = True
        self._output.journal.append(
            Outcome(
                step=record.step,
                generation=record.generation,
                time=record.time,
                rule=intervention.rule,
                intervention=intervention.id,
                action=action.id,
                kind=action.kind,
                status=status,
                before=ack.before if ack else None,
                after=ack.after if ack else None,
                checkpoint=ack.checkpoint if ack else None,
                reason=reason,
            )
        )

    def _new_generation(self, record: Record, checkpoint: int | None, reason: str) -> None:
        """The run went back: incidents are over, windows return to what they were at the checkpoint's step."""
        self.generation = record.generation
        snapshot = self._checkpoints.restored(checkpoint)
        for i, watch in enumerate(self._watches):
            if snapshot is not None:
                watch.restore(snapshot[i])
            self._calm(watch, record, reason)

    def _calm(self, watch: Watch, record: Record, reason: str) -> None:
        before = watch.state
        watch.calm()
        self._active.discard(watch)
        if before != "inactive":
            self._transition(watch, before, Moment(record.step, None, record.time), reason)

    def _saved(self, saved: CheckpointSaved) -> None:
        if saved.generation == self.generation:
            snapshot = [watch.snapshot() for watch in self._watches]
            self._checkpoints.saved(saved.step, snapshot, healthy=self._healthy())

    def _hello(self, hello: Hello) -> None:
        """A new trainer process: it shares nothing with the one before but the directory and the rules."""
        self._lose(hello, "the trainer was restarted")
        self.generation = hello.generation
        self._offered = frozenset(hello.actions)
        self.last.clear()
        self._plans.clear()
        self._checkpoints.clear()
        for watch in self._watches:
            self._calm(watch, hello, "the trainer was restarted")
            watch.reset()

    # -- health --------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        return not any(watch.rule.judges_health for watch in self._active)

    def _judge_health(self, sample: Sample) -> None:
        healthy = not self._active or self._healthy()
        if healthy and not self._checkpoints.candidates:
            return
        for promotion in self._checkpoints.judge(sample.step, self.generation, healthy=healthy):
            self._output.control.append(promotion)
            self._output.journal.append(
                Promoted(
                    step=sample.step,
                    generation=self.generation,
                    time=sample.time,
                    checkpoint=promotion.checkpoint,
                )
            )
