"""What became of an action, as the journal has it."""

from collections.abc import Iterator

from trainguard_wire.control import Action, Intervention
from trainguard_wire.journal import Outcome, OutcomeStatus
from trainguard_wire.telemetry import Ack, Record


def outcome_of(
    record: Record,
    intervention: Intervention,
    action: Action,
    status: OutcomeStatus,
    reason: str,
    ack: Ack | None = None,
) -> Outcome:
    """As of ``record``; with what was observed, where the trainer acknowledged it."""
    return Outcome(
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


def withdrawn(record: Record, intervention: Intervention, reason: str) -> Iterator[Outcome]:
    """The outcomes of a request that nobody answered in time, that is moot, or that was denied."""
    for action in intervention.actions:
        yield outcome_of(record, intervention, action, "withdrawn", reason)
