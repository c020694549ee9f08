"""What there is to see of a run, taken from its engine and its counts."""

from trainguard_monitor.views.table import RunDetail, RunState, RunView
from trainguard_monitor.views.tally import Tally
from trainguard_rules import Engine, RuleBook
from trainguard_wire import RunDirectory
from trainguard_wire.hold import Hold


def view_of(
    run: str, state: RunState, book: RuleBook, engine: Engine, tally: Tally, hold: Hold | None, *, behind: bool
) -> RunView:
    """A snapshot; nobody may be feeding the engine meanwhile."""
    zeros, course = tally.zeros, tally.course
    return RunView(
        run=run,
        state=state,
        catching_up=behind,
        rules_sha256=book.sha256,
        step=course.step,
        epoch=course.epoch,
        generation=engine.generation,
        last_sample=course.last_sample,
        last_record=course.last_record,
        paused_since=course.paused_since,
        goodbye=course.goodbye,
        layers=course.layers,
        signals=dict(engine.last),
        nonfinite=dict.fromkeys(engine.last, 0) | engine.nonfinite,
        rules=tuple(engine.status()),
        decisions=zeros.decisions | tally.decisions,
        actions=zeros.actions | tally.actions,
        verifications=zeros.verifications | tally.verifications,
        expectations=dict(tally.expectations),
        last_decision=tally.last_decision,
        requests=tuple(request.id for request in engine.requests),
        latency_seconds=tally.latencies.seconds.copy(),
        latency_steps=tally.latencies.steps.copy(),
        received=dict(tally.received),
        corrupt=hold.telemetry.corrupt if hold else None,
        late=engine.late,
        trainer_lost=tally.trainer_lost,
        write_failures=hold.outbox.failures if hold else 0,
    )


def detail_of(run: RunDirectory, view: RunView, engine: Engine) -> RunDetail:
    """As `view_of`."""
    return RunDetail(
        directory=run,
        view=view,
        rules=tuple(engine.details()),
        requests=tuple(engine.requests),
        in_flight=tuple(engine.in_flight),
    )
