"""Whose turn it is, of runs whose past is still to be read."""

import os

from tests.monitor.helpers import RULES, START
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.following.rota import LATELY, Post, Rota
from trainguard_rules import load_text
from trainguard_wire.segments import segment_path

AHEAD = -START  # of a monotonic clock that began when the runs did


def found(new_trainer, name: str, age: float) -> Post:
    """A run that was last written to so many seconds ago."""
    run = new_trainer(name).run
    run.create()
    segment = segment_path(run.telemetry, 1)
    segment.touch()
    os.utime(segment, (START - age, START - age))
    return Post(Driver(run, load_text(RULES)), 0.0, AHEAD)


def turns(rota: Rota, number: int) -> list[str]:
    """Who is looked at, one turn after the other; nobody has caught up."""
    names = []
    for _ in range(number):
        for post in list(rota.take(0.0)):
            names.append(post.driver.run.name)
            rota.put(post)
    return names


def test_the_living_take_turns_before_the_dead(new_trainer):
    rota = Rota()
    for name, age in (("old", 10 * LATELY), ("a", 1.0), ("b", LATELY / 2), ("older", 20 * LATELY)):
        rota.put(found(new_trainer, name, age))
    assert turns(rota, 6) == ["a", "b", "a", "b", "a", "b"]


def test_the_dead_take_turns(new_trainer):
    rota = Rota()
    for name in ("old", "older"):
        rota.put(found(new_trainer, name, 2 * LATELY))
    assert turns(rota, 4) == ["old", "older", "old", "older"]


def test_a_run_that_is_gone_takes_nobodys_turn(new_trainer):
    rota = Rota()
    gone, other = found(new_trainer, "gone", 1.0), found(new_trainer, "other", 2 * LATELY)
    for post in (gone, other):
        rota.put(post)
    assert turns(rota, 1) == ["gone"]
    gone.gone = True
    assert turns(rota, 2) == ["other", "other"]


def test_a_run_that_was_never_written_to_is_no_living_one(new_trainer):
    run = new_trainer("a").run
    assert run.last_written() == 0.0
    assert not Post(Driver(run, load_text(RULES)), 0.0, AHEAD).is_lively
