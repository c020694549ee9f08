"""The engine: a fold over the telemetry of one run.

``feed`` takes one record and returns what follows from it: lines for the journal and messages for the trainer.
There is no clock, thread or file in here, so the daemon, a replay and the recovery after a crash are the same
fold: same telemetry, same rules, same decisions.

The way of a sample: every rule that looks at one of its signals is evaluated on the past it has learned so far,
and rules that are quiet learn the sample (`plans`); the others advance their state (`watch`), and those that
fire ask policy, the highest rank first (`decisions`). What policy lets act becomes an intervention, in flight
until the trainer has acknowledged it or it has expired (`interventions`), and on trial until it has helped.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from trainguard_rules.checkpoints import CheckpointBook, Snapshot, promoted
from trainguard_rules.deciding.decisions import Decisions
from trainguard_rules.deciding.scene import Scene
from trainguard_rules.durations import Moment
from trainguard_rules.output import Output
from trainguard_rules.rulebook import RuleBook
from trainguard_rules.stats.base import between
from trainguard_rules.watching.expectations import Vigils
from trainguard_rules.watching.plans import Plan, Plans
from trainguard_rules.watching.watch import RuleDetail, RuleStatus, Watch
from trainguard_wire.control import Control, Intervention
from trainguard_wire.journal import AlertNotice, Approval, Decision, Delivered, Input, Order, Promoted
from trainguard_wire.telemetry import Ack, CheckpointSaved, Goodbye, Hello, Record, Sample, Telemetry

NAN = float("nan")
QUIET = Output([], [])  # what nearly every record gives: one for all


class Engine:
    """Rules at work on one run. Not for two threads.

    ``records`` counts the telemetry fed, ``late`` the samples of an older generation, ``nonfinite`` the values
    that were NaN or infinite; ``last`` holds the last value of every signal, ``notifications`` what is to be sent.
    """

    def __init__(self, book: RuleBook) -> None:
        self.records = self.late = self.generation = 0
        self.last: dict[str, float] = {}
        self.nonfinite: Counter[str] = Counter()
        self._watches = [Watch(rule, index) for index, rule in enumerate(book.rules)]
        self._vigils = Vigils(book.expectations)
        self._learned: tuple[Watch | Vigils, ...] = (*self._watches, self._vigils)
        self._plans = Plans(self._watches)
        self._decisions = Decisions(self._watches)
        self._notices = self._decisions.notices
        self.notifications = self._decisions.interventions.notifications
        self._checkpoints = CheckpointBook(book.good_after)
        self._active: set[Watch] = set()
        self._began: Hello | None = None
        self._sampled: Sample | None = None
        self._waiting, self._quiet = False, True
        self._output = Output([], [])

    def feed(self, record: Telemetry | Input) -> Output:
        """Fold in one record of telemetry, or what came from outside. Never raises on any valid record."""
        output = self._output
        if type(record) is Sample:
            self.records += 1
            self._sample(record, output)
        else:
            self._other(record, output)
        if not (output.journal or output.control):
            return QUIET
        self._output = Output([], [])
        return output

    def recall(self, record: Telemetry | Input | None, decided: Iterable[Decision | Promoted]) -> None:
        """Fold in one record in hindsight: ``decided`` was really decided on it, under other rules, and nothing else.

        Without a ``record``, only what was decided.
        """
        past = list(decided)
        self._decisions.look_back(record for record in past if isinstance(record, Decision))
        if record is not None:
            self.feed(record)
        self._decisions.recall(self._scene(Output([], [])))
        for checkpoint in self._checkpoints.recall(past):
            self._decisions.bar.promoted(checkpoint)
        self._decisions.look_back(None)
        self._look_around()

    def _other(self, record: Telemetry | Input, output: Output) -> None:
        match record:
            case Approval():
                self._decisions.approve(record, self._scene(output))
            case Order():
                self._decisions.order(record, self._incident(), self._scene(output))
            case AlertNotice():
                self._notice(record, output)
            case Delivered():
                self._decisions.delivered(record, self._scene(output))
            case Ack():
                self._ack(record, output)
            case CheckpointSaved():
                self._saved(record)
            case Hello():
                self._hello(record, output)
            case Goodbye():
                self._goodbye(record, output)
        self.records += not isinstance(record, Input)
        self._look_around()

    def _look_around(self) -> None:
        """What the next sample has to expect."""
        self._waiting = self._decisions.waiting
        self._quiet = all(watch.quiet for watch in self._watches)

    def is_news(self, record: Input) -> bool:
        """Whether an input would change anything: it was not taken in before, and something waits for it."""
        return self._decisions.is_news(record)

    def answer_to(self, order: str) -> Decision | None:
        """What was decided on an order, by its id."""
        return self._decisions.orders.answers.get(order)

    @property
    def step(self) -> int:
        """The step of the last sample; before the first, of the hello."""
        return self._now.step

    @property
    def busy(self) -> bool:
        """Whether a rule is pending or firing, or an intervention is in flight."""
        return bool(self._active or self._decisions.in_flight)

    def open_control(self) -> list[Control]:
        """What the trainer should have been told and has not answered: due again after a monitor's restart."""
        return [*self._checkpoints.promotions, *self._decisions.interventions.due]

    def status(self) -> list[RuleStatus]:
        now = None if self._sampled is None else self._now
        return [watch.status(self.last, now, self._plans.evaluations(watch)) for watch in self._watches]

    def details(self) -> list[RuleDetail]:
        """`status` and more, for who looks at one run."""
        now = None if self._sampled is None else self._now
        return [watch.detail(self.last, now, self._plans.evaluations(watch)) for watch in self._watches]

    @property
    def requests(self) -> list[Intervention]:
        """What waits for a person's answer."""
        return self._decisions.requests.unanswered

    @property
    def in_flight(self) -> list[Intervention]:
        """What the trainer has been told, or will be, and has not answered."""
        return self._decisions.interventions.flight.interventions

    # -- samples -------------------------------------------------------------------------------------------

    def _sample(self, sample: Sample, output: Output) -> None:
        # The way of most samples of most runs: nothing here may cost more than it must.
        if sample.generation != self.generation and not self._take_up(sample, output):
            return
        values = sample.values
        if sample.nonfinite:
            values = sample.all_values()
            self.nonfinite.update(sample.nonfinite.keys())
        plan = self._plans.last
        if plan is None or sample.nonfinite or plan.signals != list(values):
            plan = self._find_plan(values, finite=not sample.nonfinite)
        self.last = last = values if plan.is_complete else {**self.last, **values}
        self._sampled = sample
        if self._waiting:
            self._decisions.expire(sample, self._scene(output))
            self._look_around()
        plan.runs += 1
        loud: list[Watch] = []
        epoch = NAN if sample.epoch is None else sample.epoch
        (plan.run_quiet if self._quiet else plan.run)(last, sample.step, epoch, sample.time, loud)
        if loud or (self._notices.watches and self._notices.calling):
            self._attend(loud, plan, epoch, output)
        if self._vigils.all:
            output.journal.extend(self._vigils.look(sample, last, self._now))
        if self._active or self._checkpoints.candidates:
            self._judge_health(sample, output)

    def _take_up(self, sample: Sample, output: Output) -> bool:
        """A sample of another generation: of an older one it speaks of weights that are gone."""
        if sample.generation < self.generation:
            self.late += 1
            return False
        self._new_generation(sample, None, "the run went on in a new generation", output)
        return True

    def _find_plan(self, values: Mapping[str, float], *, finite: bool) -> Plan:
        if not values.keys() <= self.last.keys():  # rules that waited for a signal may come in
            self._plans.clear()
        return self._plans.of(tuple(values), self.last.keys() | values.keys(), finite=finite)

    @property
    def _now(self) -> Moment:
        """Where the last sample stood; before the first of a trainer process, where that began."""
        sample, began = self._sampled, self._began
        if sample is not None:
            return Moment(sample.step, sample.epoch, sample.time)
        return Moment(0, None, 0.0) if began is None else Moment(began.step, None, began.time)

    def _scene(self, output: Output) -> Scene:
        return Scene(self.last, self.generation, self._now, output, self._began)

    def _attend(self, loud: list[Watch], plan: Plan, epoch: float, output: Output) -> None:
        """The rules that are not quiet: advance them, look after those on trial, let those that fire decide.

        Only then do they learn the sample, or pass it over: everything above is about the sample itself.
        """
        scene = self._scene(output)
        now = scene.now
        firing = [watch for watch in loud if watch in plan.judged and self._advance(watch, now, output)]
        for watch in loud:
            if watch.trial is not None:
                self._decisions.judge(watch, scene)
        self._decide([*firing, *self._notices.calling], scene)
        for watch in loud:
            frozen = watch.state != "inactive" and not watch.rule.rolling
            plan.feed(watch, self.last, now.step, epoch, now.time, frozen=frozen)
            if watch.called and not watch.heard:
                watch.release()  # a level is not accepted as normal before the trainer has heard of it
        self._look_around()

    def _decide(self, firing: Iterable[Watch], scene: Scene) -> None:
        for watch in sorted(firing, key=lambda watch: (-watch.rule.rank, watch.index)):
            self._decisions.decide(watch, scene)
        self._decisions.recall(scene)

    def _notice(self, notice: AlertNotice, output: Output) -> None:
        """An alert fires or is over: policy is asked at once."""
        concerned = self._notices.take(notice)
        scene = self._scene(output)
        for watch in concerned:
            self._advance(watch, scene.now, output)
        self._decide([watch for watch in self._notices.calling if watch in concerned], scene)

    def _incident(self) -> int:
        """The step that a restore by hand goes back to before: the onset of what makes the run ill, or the present."""
        onsets = [w.onset.step for w in self._active if w.onset is not None and w.rule.judges_health]
        return min(onsets, default=self._now.step)

    def _advance(self, watch: Watch, now: Moment, output: Output) -> bool:
        """Move a rule's state; true if it fires on this sample and has actions."""
        onset = watch.onset
        before, condition = watch.advance(self.last, now)
        if watch.state != before:
            since = onset or watch.onset or now
            reason = f"since step {since.step}" if watch.state != "pending" else ""
            output.journal.append(watch.transition(before, self.generation, now, self.last, reason))
        (self._active.discard if watch.state == "inactive" else self._active.add)(watch)
        return watch.state == "firing" and condition is True and bool(watch.rule.actions)

    # -- what the trainer reports --------------------------------------------------------------------------

    def _ack(self, ack: Ack, output: Output) -> None:
        self._decisions.acknowledge(ack, self._now.epoch, output)
        if ack.kind == "restore_checkpoint" and ack.status == "applied" and ack.generation > self.generation:
            self._new_generation(ack, ack.checkpoint, f"restored the checkpoint of step {ack.checkpoint}", output)
        for watch in self._watches:
            if watch.trial is not None:
                watch.start_trial_afresh(ack.action)

    def _new_generation(self, record: Record, checkpoint: int | None, reason: str, output: Output) -> None:
        """The run went back: incidents are over, windows return to what they were at the checkpoint's step."""
        self.generation = record.generation
        if snapshot := self._checkpoints.restored(checkpoint):
            gone = between(snapshot.taken, Moment(record.step, self._now.epoch, record.time))
            for learned, windows in zip(self._learned, snapshot.windows, strict=True):
                learned.restore(windows, gone)
        for watch in self._watches:
            if watch.trigger is None:  # an alert is not about the weights
                self._calm(watch, record, reason, output)

    def _calm(self, watch: Watch, record: Record, reason: str, output: Output) -> None:
        before = watch.state
        watch.calm()
        self._active.discard(watch)
        if before != "inactive":
            now = Moment(record.step, None, record.time)
            output.journal.append(watch.transition(before, self.generation, now, self.last, reason))

    def _saved(self, saved: CheckpointSaved) -> None:
        if saved.generation == self.generation:
            windows = [learned.snapshot() for learned in self._learned]
            taken = Moment(saved.step, self._now.epoch, saved.time)
            self._checkpoints.saved(Snapshot(taken, windows), healthy=self._healthy())

    def _hello(self, hello: Hello, output: Output) -> None:
        """A new trainer process: it shares nothing with the one before but the directory and the rules."""
        self._decisions.lose(hello, "the trainer was restarted", output)
        self._decisions.offered = frozenset((*hello.actions, *(f"knob {name}" for name in hello.knobs)))
        self._decisions.restart()
        self.generation, self._began, self._sampled = hello.generation, hello, None
        self.last = {}
        self._plans.clear()
        self._checkpoints.clear()
        for watch in self._watches:
            self._calm(watch, hello, "the trainer was restarted", output)
            watch.reset(hello.step)
        for watch in self._notices.watches:
            self._advance(watch, self._now, output)
        self._vigils.reset(hello.step)

    def _goodbye(self, goodbye: Goodbye, output: Output) -> None:
        self._decisions.lose(goodbye, "the training ended", output)
        output.journal.extend(self._vigils.end(goodbye, self.last, self._now))

    # -- health --------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        return not any(watch.rule.judges_health for watch in self._active)

    def _judge_health(self, sample: Sample, output: Output) -> None:
        healthy, now = self._healthy(), not self._decisions.in_hindsight
        for promotion in self._checkpoints.judge(sample.step, self.generation, healthy=healthy, now=now):
            self._decisions.bar.promoted(promotion.checkpoint)
            output.control.append(promotion)
            output.journal.append(promoted(promotion, sample.time))
