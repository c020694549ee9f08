"""How far a run has come, and whether it waits or has ended: as its telemetry says."""

import math

import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import START, ScriptedTrainer
from trainguard_monitor.views.course import Course, goodbye_as_json, layers_as_json
from trainguard_wire import RunDirectory


def course_of(run: RunDirectory) -> Course:
    """After all that was written."""
    reader, course = run.read_telemetry(), Course()
    while some := reader.read():
        for record in some:
            course.see(record)
    reader.close()
    return course


def test_a_pause_lasts_until_the_trainer_says_so(trainer: ScriptedTrainer) -> None:
    """Heartbeats, and values observed at the same step, do not end it."""
    trainer.samples(3)
    trainer.ack("pause")
    trainer.heartbeat()
    trainer.step -= 1
    trainer.sample(val_loss=1.0)
    course = course_of(trainer.run)
    assert (course.paused_since, course.last_record) == (START + 3, START + 3)
    trainer.ack("resume")
    assert course_of(trainer.run).paused_since is None


def test_a_pause_that_nobody_ended_is_over_with_the_next_step(trainer: ScriptedTrainer) -> None:
    """A trainer says nothing when the time it was to wait at most is over."""
    trainer.samples(3)
    trainer.ack("pause")
    trainer.samples(1)
    assert course_of(trainer.run).paused_since is None


@pytest.mark.parametrize("end", ["stop", "goodbye", "hello"])
def test_a_pause_ends_with_the_run(trainer: ScriptedTrainer, end: str) -> None:
    """Told to stop, gone, or begun anew."""
    trainer.samples(3)
    trainer.ack("pause")
    trainer.ack("stop") if end == "stop" else getattr(trainer, end)()
    assert course_of(trainer.run).paused_since is None


def test_how_a_run_ended(new_trainer: NewTrainer) -> None:
    """As its last trainer said; a trainer that goes on takes that back."""
    ways = {"finished": {}, "stopped": {"stopped": True}, "failed": {"error": "RuntimeError: out of memory"}}
    for outcome, way in ways.items():
        trainer = new_trainer(outcome)
        trainer.hello()
        trainer.samples(2)
        assert goodbye_as_json(course_of(trainer.run).goodbye) is None
        trainer.goodbye(**way)
        said = {"step": 2, "time": START + 2, "outcome": outcome, "error": way.get("error", "")}
        assert goodbye_as_json(course_of(trainer.run).goodbye) == said
        trainer.hello()
        assert not course_of(trainer.run).ended


def test_layers_are_those_of_the_newest_sample_that_has_them(trainer: ScriptedTrainer) -> None:
    """In their order, those that are no number by name."""
    trainer.sample(loss=1.0)
    assert layers_as_json(course_of(trainer.run).layers) is None
    trainer.sample(loss=1.0, layers={"old": 1.0})
    trainer.sample(loss=1.0, layers={"b": math.nan, "c": 2.5, "a": 1.0})
    trainer.sample(loss=1.0)
    found = layers_as_json(course_of(trainer.run).layers)
    assert found == {"step": 3, "grad_norms": {"b": "NaN", "c": 2.5, "a": 1.0}}
    assert list(found["grad_norms"]) == ["b", "c", "a"]
