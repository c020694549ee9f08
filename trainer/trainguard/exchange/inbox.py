"""Control in: what the monitor asks for, carried out in order at a step boundary, each action acknowledged.

An intervention is carried out at most once (by id), only in the generation it was decided in, and not past its
expiry. Its actions are steps of one plan: where one is refused or fails, those after it are refused. A restore
among them opens a new generation, and the plan goes on in it.

Some actions show their effect only in the next step. Their acknowledgement waits for it in ``pending``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from trainguard.actuators import Actuator, Done, Params, Pending, Refused
from trainguard.checkpoints.base import Checkpoints
from trainguard.exchange.emitter import Emitter
from trainguard.faults import Faults, describe
from trainguard.measuring.readout import Reading
from trainguard.progress import Progress
from trainguard_wire import AckStatus, Action, Control, Intervention, Promotion

EARLIER_FAILED = "an earlier action of this intervention failed"


class _Objection(NamedTuple):
    status: AckStatus
    reason: str


class ControlSource(Protocol):
    """Where control comes from: the run's control files, or an embedded monitor."""

    def read(self) -> list[Control]:
        """What has come since the last call; ``[]`` when that is all."""


class _Waiting(NamedTuple):
    action: Action
    outcome: Pending
    since: int


class Inbox:
    """Reads control, once it is connected, and obeys.

    ``pending`` are the actions that wait for a step to show their effect.
    """

    def __init__(
        self,
        actuators: Sequence[Actuator],
        checkpointer: Checkpoints | None,
        *,
        emitter: Emitter,
        progress: Progress,
        faults: Faults,
    ) -> None:
        self._source: ControlSource | None = None
        self._actuators = {actuator.kind: actuator for actuator in actuators}
        self._checkpointer = checkpointer
        self._emitter, self._progress, self._faults = emitter, progress, faults
        self._seen: set[str] = set()
        self._refusal = ""
        self.pending: list[_Waiting] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._actuators)

    def connect(self, source: ControlSource) -> None:
        self._source = source

    def refuse_all(self, reason: str) -> None:
        """From now on nothing is carried out."""
        self._refusal = reason

    def poll(self) -> bool:
        """Carry out what has come since the last call; whether anything has."""
        has_come = False
        if self._source is not None:
            try:
                while messages := self._source.read():
                    has_come = True
                    for message in messages:
                        self._receive(message)
            except Exception as error:
                self._faults.note("control", error)
        return has_come

    def settle_seen(self) -> None:
        """Acknowledge the actions whose effect could be seen in the step just done, without its values."""
        self._settle({}, [each for each in self.pending if not each.outcome.needs_values])

    def settle(self, reading: Reading) -> None:
        """Acknowledge the actions whose effect the values of a step show."""
        self._settle(reading.values, [each for each in self.pending if each.since < reading.at.step])

    def give_up(self, reason: str) -> None:
        """Acknowledge as expired what was still waiting for a next step."""
        pending, self.pending = self.pending, []
        for each in pending:
            self._emitter.ack(each.action, "expired", reason=reason)

    def _settle(self, values: Mapping[str, float], due: Sequence[_Waiting]) -> None:
        self.pending = [each for each in self.pending if each not in due]
        for each in due:
            try:
                done = each.outcome.settle(values)
            except Exception as error:
                self._failed(each.action, error)
            else:
                self._applied(each.action, done)

    def _receive(self, message: Control) -> None:
        with self._faults.around("control"):
            if isinstance(message, Promotion):
                if self._checkpointer is not None:
                    self._checkpointer.promote(message.checkpoint, message.generation)
            elif isinstance(message, Intervention) and message.id not in self._seen:
                self._seen.add(message.id)
                self._carry_out(message)

    def _carry_out(self, intervention: Intervention) -> None:
        objection = self._objection(intervention)
        for action in intervention.actions:
            if objection is not None:
                self._emitter.ack(action, objection.status, reason=objection.reason)
            elif not self._act(action):
                objection = _Objection("refused", EARLIER_FAILED)

    def _objection(self, intervention: Intervention) -> _Objection | None:
        at = self._progress
        if self._refusal:
            return _Objection("refused", self._refusal)
        if intervention.generation != at.generation:
            return _Objection(
                "refused", f"decided in generation {intervention.generation}, this is generation {at.generation}"
            )
        if at.step > intervention.expires_step:
            return _Objection("expired", f"step {at.step} is past step {intervention.expires_step}")
        return None

    def _act(self, action: Action) -> bool:
        """Whether the plan may go on."""
        actuator = self._actuators.get(action.kind)
        if actuator is None:
            reason = f"this trainer does not offer {action.kind!r}; it offers {', '.join(self._actuators)}"
            self._emitter.ack(action, "refused", reason=reason)
            return False
        try:
            outcome = actuator.act(Params(action.params), self._progress)
        except Refused as refusal:
            self._emitter.ack(action, "refused", reason=str(refusal))
            return False
        except Exception as error:
            self._failed(action, error)
            return False
        if isinstance(outcome, Pending):
            self.pending.append(_Waiting(action, outcome, self._progress.step))
        else:
            self._applied(action, outcome)
        return True

    def _applied(self, action: Action, done: Done) -> None:
        if done.new_generation:
            self._progress.generation += 1
        self._emitter.ack(
            action,
            "applied",
            before=done.before,
            after=done.after,
            factor=done.factor,
            checkpoint=done.checkpoint,
            reason=done.reason,
        )

    def _failed(self, action: Action, error: Exception) -> None:
        if not isinstance(error, Refused):
            self._faults.note(f"action.{action.kind}", error)
        self._emitter.ack(action, "failed", reason=str(error) if isinstance(error, Refused) else describe(error))
