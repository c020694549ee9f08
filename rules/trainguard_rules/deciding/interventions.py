"""Interventions from decision to outcome: made from a rule, put in the air, waited for, and put on trial."""

from collections.abc import Iterator, Sequence

from trainguard_rules.deciding.flight import Flight
from trainguard_rules.deciding.notifications import Notifications, for_trainer
from trainguard_rules.deciding.outcomes import outcome_of
from trainguard_rules.deciding.scene import Scene
from trainguard_rules.durations import Moment
from trainguard_rules.rulebook import PlannedAction
from trainguard_rules.watching.verification import Trial
from trainguard_rules.watching.watch import Watch
from trainguard_wire.control import Action, Intervention, Parameter
from trainguard_wire.journal import Outcome, OutcomeStatus
from trainguard_wire.telemetry import Ack, Record

ESCALATE = ".escalate"
REVERT = ".revert"


def plan(watch: Watch, planned: Sequence[PlannedAction], scene: Scene, reason: str, suffix: str = "") -> Intervention:
    """What a rule wants done."""
    rule, now, generation = watch.rule, scene.now, scene.generation
    identity = f"{rule.name}.{generation}.{now.step}{suffix}"
    actions = []
    for i, (kind, model, _) in enumerate(planned):
        params: dict[str, Parameter] = model.params()
        if kind == "restore_checkpoint":
            params["before_step"] = (watch.onset or now).step
        if kind == "notify":
            text = watch.filled(str(params["message"]), scene.values, now) or watch.summary(scene.values, now)
            params["message"] = text or reason
        actions.append(Action(id=f"{identity}.{i}", kind=kind, params=params))
    return Intervention(
        id=identity,
        rule=rule.name,
        step=now.step,
        generation=generation,
        expires_step=scene.expires_step(rule.expires),
        actions=tuple(actions),
        reason=reason,
    )


def again(
    intervention: Intervention,
    *,
    step: int | None = None,
    expires_step: int | None = None,
    actions: tuple[Action, ...] | None = None,
    reason: str | None = None,
) -> Intervention:
    """The same intervention, with these things changed."""
    return Intervention(
        id=intervention.id,
        rule=intervention.rule,
        generation=intervention.generation,
        step=intervention.step if step is None else step,
        expires_step=intervention.expires_step if expires_step is None else expires_step,
        actions=intervention.actions if actions is None else actions,
        reason=intervention.reason if reason is None else reason,
    )


def identity_of(actions: Sequence[Action]) -> str:
    """The id of the intervention that actions belong to, whether or not it was made; "" where there are none."""
    return actions[0].id.rpartition(".")[0] if actions else ""


class Interventions:
    """Those in flight, and those on trial. ``watches`` are the rules by name."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.watches = {watch.rule.name: watch for watch in watches}
        self.flight = Flight()
        self.notifications = Notifications()

    @property
    def due(self) -> list[Intervention]:
        """In flight, and for the trainer to hear of. What a rule decided before it was to observe only is not."""
        watches = self.watches
        return [i for i in self.flight.interventions if i.rule not in watches or watches[i.rule].rule.mode != "observe"]

    def issue(
        self, watch: Watch | None, intervention: Intervention, time: float, *, on_trial: bool = True
    ) -> Intervention | None:
        """Put an intervention in the air: a rule's, or one that a person ordered.

        Gives what the trainer is to be told of it, which may be nothing: what the monitor does itself is no part of it.
        """
        self.notifications.add(intervention, {} if watch is None else watch.rule.labels, time)
        actions = for_trainer(intervention)
        if not actions:
            return None
        told = intervention if actions == intervention.actions else again(intervention, actions=actions)
        self.flight.add(told)
        if watch is None:
            return told
        watch.called = True
        if watch.rule.verify is not None and on_trial:
            watch.begin_trial(Trial(told))
        return told

    def acknowledged(self, ack: Ack, epoch: int | None) -> Outcome | None:
        """The outcome an acknowledgement tells; None where the action is not, or no longer, one of ours."""
        found = self.flight.settle(ack.action)
        if found is None:
            return None
        intervention, action = found
        watch = self.watches.get(intervention.rule)
        self._heard(watch, intervention, ack.status)
        trial = watch.trial if watch is not None else None
        if trial is not None and trial.intervention.id == intervention.id and ack.status == "applied":
            trial.note(action, ack)
            trial.since = Moment(ack.step, epoch, ack.time)
        return outcome_of(ack, intervention, action, ack.status, ack.reason, ack)

    def give_up(self, record: Record, reason: str, step: int | None = None) -> Iterator[Outcome]:
        """The outcomes of what expired before ``step``, or of everything in the air."""
        for intervention, action in self.flight.lose(step):
            self._heard(self.watches.get(intervention.rule), intervention, "lost")
            yield outcome_of(record, intervention, action, "lost", reason)

    def _heard(self, watch: Watch | None, intervention: Intervention, status: OutcomeStatus) -> None:
        if watch is None:  # a person ordered it, or the rule is gone
            return
        trial = watch.trial
        if status in ("lost", "expired"):  # it never reached the trainer, and counts for nothing
            watch.memory.forget(intervention.step)
            watch.retry(intervention.id)
        else:
            watch.heard = True
            if trial is not None and trial.remedy == intervention.id:
                watch.begin_trial(None)
        if status != "applied" and trial is not None and trial.intervention.id == intervention.id:
            watch.begin_trial(None)
