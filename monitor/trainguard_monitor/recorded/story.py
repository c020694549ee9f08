"""The story of a run in words, from its journal: what was detected, decided, done."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from trainguard_monitor.numbers import plural
from trainguard_wire import (
    AlertNotice,
    Approval,
    Decision,
    Order,
    Outcome,
    Promoted,
    Reached,
    RunDirectory,
    Transition,
    Verification,
)
from trainguard_wire.control import Parameter
from trainguard_wire.journal import Journal

Chapter = Literal["detected", "decided", "done", "verified", "over", "trusted", "reached"]


class Entry(NamedTuple):
    """One line of the story. ``step`` is the optimizer step it happened at."""

    step: int
    chapter: Chapter
    rule: str
    text: str


def read_journal(run: RunDirectory) -> Iterator[Journal]:
    """Every record of the journal, from the first."""
    reader = run.read_journal()
    try:
        while records := reader.read():
            yield from records
    finally:
        reader.close()


def tell(run: RunDirectory) -> list[Entry]:
    """The story so far. Rules that were pending and came to nothing are left out."""
    return [entry for record in read_journal(run) if (entry := entry_of(record))]


def told(record: Journal) -> str | None:
    """A record of the journal in words; None where there is nothing to say of it."""
    match record:
        case Approval():
            return f"{record.by} {'approves' if record.approved else 'denies'} {record.intervention}"
        case Order():
            return f"{record.by} orders {_planned(record)}"
        case AlertNotice():
            name = record.labels.get("alertname", record.fingerprint)
            said = record.annotations.get("summary", "")
            return f"alert {name} {'fires' if record.status == 'firing' else 'is over'}" + (f": {said}" if said else "")
    entry = entry_of(record)
    return None if entry is None else entry.text


def entry_of(record: Journal) -> Entry | None:
    match record:
        case Transition(after="firing"):
            return Entry(record.step, "detected", record.rule, f"{record.rule} fires, {record.reason}")
        case Transition(before="firing"):
            return Entry(record.step, "over", record.rule, f"{record.rule} is over: {record.reason}")
        case Decision(verdict="act"):
            return Entry(record.step, "decided", record.rule, f"{record.summary or record.reason}: {_planned(record)}")
        case Decision(verdict="await_approval"):
            return Entry(record.step, "decided", record.rule, f"{record.rule} asks a person: {_planned(record)}?")
        case Decision(verdict="observe"):
            return Entry(record.step, "decided", record.rule, f"{record.rule} would have acted: {_planned(record)}")
        case Decision():
            return Entry(record.step, "decided", record.rule, f"{record.rule} holds: {record.verdict}, {record.reason}")
        case Verification(helped=True):
            return Entry(record.step, "verified", record.rule, f"{record.intervention} helped: {record.reason}")
        case Verification():
            return Entry(record.step, "verified", record.rule, f"{record.intervention} did not help: {record.reason}")
        case Reached():
            met = "as expected" if record.met else "not as expected"
            return Entry(record.step, "reached", record.rule, f"{record.rule}: {met}, {record.reason}")
        case Outcome():
            return Entry(record.step, "done", record.rule, _outcome(record))
        case Promoted():
            return Entry(record.step, "trusted", "", f"the checkpoint of step {record.checkpoint} is good")
        case _:
            return None


def _planned(record: Decision | Order) -> str:
    return ", then ".join(planned(action.kind, action.params) for action in record.actions)


def planned(kind: str, params: Mapping[str, Parameter]) -> str:
    """What an action is to do, in words; of one that we do not know, or not in this form, its name."""
    try:
        return f"{kind} {_WORDS[kind].format_map(params)}"
    except (KeyError, ValueError, TypeError):
        return kind


_WORDS = {
    "scale_lr": "by {factor}",
    "scale_weight_decay": "by {factor}",
    "scale_knob": "{name} by {factor}",
    "set_lr": "to {lr:.6g}",
    "set_weight_decay": "to {weight_decay:.6g}",
    "set_knob": "{name} to {value:.6g}",
    "rewarm_lr": "from {start_lr} over {over} {unit}",
    "restore_checkpoint": "from before step {before_step}",
    "skip_steps": "{count}",
    "pause": "for {at_most} s at most",
}


def _outcome(record: Outcome) -> str:
    if record.status != "applied":
        return f"{record.kind} {record.status}" + (f": {record.reason}" if record.reason else "")
    if record.checkpoint is not None:
        return f"{record.kind}: back to the state after step {record.checkpoint}"
    if record.kind == "skip_steps" and record.after is not None:
        return f"skip_steps: {record.after:.4g} {plural(record.after, 'update')} dropped"
    if record.kind == "diagnose" and record.after is not None:
        return f"diagnose: prediction entropy is {record.after:.4g}"
    if record.before is not None and record.after is not None:
        return f"{record.kind}: {record.before:.4g} is now {record.after:.4g}"
    if record.kind == "resume" and record.after is not None:
        return f"resume: after a pause of {record.after:.4g} s"
    found = "" if record.after is None else f": {record.after:.4g}"
    return f"{record.kind} applied{found}"
