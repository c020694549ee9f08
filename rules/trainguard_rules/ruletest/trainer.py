"""The simulated trainer: feeds an engine as a trainer would, and obeys as one does.

The order within a step is that of the real trainer. First it acknowledges what only this step could show (a
changed learning rate); then it reports its sample, saves a checkpoint if one is due, and at last reads control:
what was issued ``acks`` steps ago reaches it now. Interventions decided in another generation are refused,
those past their expiry expire, and where one action fails those after it are refused. A restore goes back to
the newest *good* checkpoint, one that the rules have promoted, as in life. The series go on all the same.

After a ``stop`` the run ends with that step. At the end the trainer says goodbye.
"""

from collections.abc import Iterator
from typing import TypedDict

from trainguard_rules.actions import ACTIONS
from trainguard_rules.engine import Engine
from trainguard_rules.output import Output
from trainguard_rules.rulebook import RuleBook
from trainguard_rules.ruletest.ledger import Ledger
from trainguard_rules.ruletest.machine import Dial, Later, Machine, Refused
from trainguard_rules.ruletest.scenario import END, Alert, Scenario
from trainguard_wire.control import Action, Control, Intervention, Promotion
from trainguard_wire.journal import AlertNotice, Approval, Decision, Delivered, Input
from trainguard_wire.telemetry import Ack, AckStatus, CheckpointSaved, Goodbye, Hello, Telemetry, sample_of

EARLIER_FAILED = "an earlier action of this intervention failed"


class _Stamp(TypedDict):
    step: int
    generation: int
    time: float


class SimulatedTrainer:
    """Runs one scenario against the rules of ``book``; what they do is in ``ledger``."""

    def __init__(self, book: RuleBook, scenario: Scenario) -> None:
        self.engine = Engine(book)
        self.ledger = Ledger()
        self.machine = Machine(knobs={name: Dial(k.value, k.min, k.max) for name, k in scenario.knobs.items()})
        self._scenario = scenario
        self._offered = scenario.actions_offered if scenario.actions_offered is not None else tuple(ACTIONS)
        self._mail: list[tuple[int, Control]] = []
        self._requests: list[tuple[int, str]] = []
        self._unseen: list[tuple[Action, Later]] = []

    def run(self) -> Iterator[int]:
        """Take step after step, and stop after each; `END` comes after the goodbye."""
        machine, scenario = self.machine, self._scenario
        signals = tuple(scenario.series)
        knobs = dict(scenario.knobs)
        self._feed(Hello(**self._at(), run=scenario.name, pid=1, signals=signals, actions=self._offered, knobs=knobs))
        self._save_if_due()
        self._alert()
        while machine.step < scenario.num_steps and not machine.stopped:
            machine.step += 1
            if scenario.steps_per_epoch is not None:
                machine.epoch = (machine.step - 1) // scenario.steps_per_epoch
            self.ledger.turn()
            self._step()
            yield machine.step
        self.ledger.turn()
        for action, _ in self._unseen:
            self._ack(action, "expired", reason="training ended before a step could show it")
        self._feed(Goodbye(**self._at(), outcome="stopped" if machine.stopped else "finished"))
        yield END

    def _step(self) -> None:
        self._show()
        self._sample()
        self._save_if_due()
        self._alert()
        self._approve()
        while self._mail and self._mail[0][0] <= self.machine.step:
            self._receive(self._mail.pop(0)[1])

    def _show(self) -> None:
        unseen, self._unseen = self._unseen, []
        for action, later in unseen:
            self._ack(action, "applied", before=later.before, after=later.after(), factor=later.factor)

    def _sample(self) -> None:
        machine = self.machine
        columns = self._scenario.series.items()
        values = {
            name: value
            for name, column in columns
            if machine.step <= len(column) and (value := column[machine.step - 1]) is not None
        }
        if values:
            self._feed(sample_of(values, **self._at(), epoch=machine.epoch))

    def _save_if_due(self) -> None:
        if self.machine.step in self._scenario.checkpoints:
            self._save()

    def _save(self) -> None:
        if self.machine.save():
            self._feed(CheckpointSaved(**self._at()))

    def _alert(self) -> None:
        for alert in self._scenario.alerts:
            if alert.step == self.machine.step:
                self._feed(self._notice(alert))

    def _notice(self, alert: Alert) -> AlertNotice:
        """As Alertmanager would have it. An alert that fires again after it was over began anew."""
        key = repr(sorted(alert.labels.items()))
        same = [a for a in self._scenario.alerts if a.labels == alert.labels and a.step <= alert.step]
        over = max((a.step for a in same if not a.firing and a.step < alert.step), default=-1)
        began = min((a.step for a in same if a.firing and a.step > over), default=0)
        return AlertNotice(
            fingerprint=key,
            starts_at=str(began),
            status="firing" if alert.firing else "resolved",
            labels=dict(alert.labels),
            time=self._at()["time"],
            after_record=self.engine.records,
        )

    def _approve(self) -> None:
        while self._requests and self._requests[0][0] <= self.machine.step:
            _, request = self._requests.pop(0)
            time = self._at()["time"]
            self._feed(
                Approval(
                    intervention=request, approved=True, by="the test", time=time, after_record=self.engine.records
                )
            )

    def _receive(self, message: Control) -> None:
        if isinstance(message, Promotion):
            self.machine.promote(message.checkpoint, message.generation)
        elif isinstance(message, Intervention):
            self._carry_out(message)

    def _carry_out(self, message: Intervention) -> None:
        objection = self._objection(message)
        for action in message.actions:
            if objection is not None:
                self._ack(action, *objection)
            elif not self._act(action):
                objection = "refused", EARLIER_FAILED

    def _objection(self, intervention: Intervention) -> tuple[AckStatus, str] | None:
        now = self.machine
        if intervention.generation != now.generation:
            return "refused", f"decided in generation {intervention.generation}, this is generation {now.generation}"
        if now.step > intervention.expires_step:
            return "expired", f"step {now.step} is past step {intervention.expires_step}"
        return None

    def _act(self, action: Action) -> bool:
        """Whether the plan may go on."""
        try:
            done = self.machine.act(action.kind, action.params)
        except Refused as refusal:
            self._ack(action, "refused", str(refusal))
            return False
        if action.kind in ("save_checkpoint", "stop"):
            self._save()
        if isinstance(done, Later):
            self._unseen.append((action, done))
        else:
            self._ack(action, "applied", before=done.before, after=done.after, checkpoint=done.checkpoint)
        return True

    def _ack(
        self,
        action: Action,
        status: AckStatus,
        reason: str = "",
        *,
        before: float | None = None,
        after: float | None = None,
        factor: float | None = None,
        checkpoint: int | None = None,
    ) -> None:
        self._feed(
            Ack(
                **self._at(),
                action=action.id,
                kind=action.kind,
                status=status,
                before=before,
                after=after,
                factor=factor,
                checkpoint=checkpoint,
                reason=reason,
            )
        )

    def _feed(self, record: Telemetry | Input) -> None:
        output = self.engine.feed(record)
        self.ledger.note(output)
        scenario, step = self._scenario, self.machine.step
        if scenario.acks is not None:
            self._mail += [(step + scenario.acks, message) for message in output.control]
        for sent in self.engine.notifications.unsent:  # a webhook takes it at once
            now, records = self._at()["time"], self.engine.records
            delivered = Delivered(action=sent.id, status="applied", time=now, after_record=records)
            self.ledger.note(self.engine.feed(delivered))
        if scenario.approvals is not None:
            due = step + scenario.approvals
            self._requests += [(due, asked) for asked in _asked(output)]

    def _at(self) -> _Stamp:
        machine = self.machine
        time = float(machine.step * self._scenario.interval)
        return {"step": machine.step, "generation": machine.generation, "time": time}


def _asked(output: Output) -> list[str]:
    """The interventions that wait for a person."""
    return [
        r.intervention
        for r in output.journal
        if isinstance(r, Decision) and r.verdict == "await_approval" and r.intervention
    ]
