"""The samples of a run, read from its files: as they were written, in bounded memory, close up where that is asked."""

from threading import Event, Thread

import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer
from trainguard_monitor.recorded import columns, history
from trainguard_monitor.recorded.history import History
from trainguard_monitor.recorded.shelf import Shelf
from trainguard_wire import segments

WHOLE = (0, 10**9, 10**6)


def test_goes_on_from_where_it_was(trainer: ScriptedTrainer) -> None:
    """Every sample once, however often and in between which records it is asked."""
    past = History(trainer.run)
    for step in range(1, 51):
        trainer.sample(loss=float(step))
        trainer.heartbeat()
        if step % 7 == 0:
            past.catch_up()
    past.catch_up()
    past.catch_up()
    loss = past.read(["loss"], *WHOLE)["loss"]
    assert loss["step"] == list(range(1, 51))
    assert loss["value"] == [float(step) for step in range(1, 51)]
    assert loss["samples_per_point"] == 1
    assert (past.signals, past.last_step, past.generations) == (["loss"], 50, [(0, 1)])


def test_what_was_superseded_is_left_out(trainer: ScriptedTrainer) -> None:
    """A trainer that was started again from an older checkpoint writes over what came after that."""
    trainer.samples(20, loss=1.0)
    trainer.generation, trainer.step = 1, 9
    trainer.samples(5, loss=2.0)
    trainer.generation = 0
    trainer.sample(loss=99.0)  # late: of weights that are gone
    past = History(trainer.run)
    past.catch_up()
    loss = past.read(["loss"], *WHOLE)["loss"]
    assert loss["step"] == list(range(1, 15))
    assert loss["value"] == [1.0] * 9 + [2.0] * 5
    assert past.generations == [(0, 1), (1, 10)]


def test_values_that_are_not_finite_stand_apart(trainer: ScriptedTrainer) -> None:
    """By step and name, and not among the points."""
    trainer.sample(loss=1.0, grad_norm=1.0)
    trainer.sample(loss=float("nan"), grad_norm=float("inf"))
    past = History(trainer.run)
    past.catch_up()
    read = past.read(["loss", "grad_norm", "unheard_of"], *WHOLE)
    assert read["loss"] == {"step": [1], "value": [1.0], "samples_per_point": 1, "nonfinite": [(2, "NaN")]}
    assert read["grad_norm"]["nonfinite"] == [(2, "Infinity")]
    assert "unheard_of" not in read


@pytest.mark.parametrize("chunk", [400, 1 << 20])
def test_a_closer_look_is_exact(trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """The whole is thinned out; a short stretch of it is read again, sample for sample, across segments."""
    monkeypatch.setattr(columns.Column.__init__, "__defaults__", (16,))
    monkeypatch.setattr(segments, "READ_BYTES", chunk)
    monkeypatch.setattr(history, "LONGEST_STRETCH", chunk)
    monkeypatch.setattr(history, "MOST_READ_AGAIN", 8 if chunk > 400 else 60)
    monkeypatch.setattr(trainer.writer, "_segment_bytes", 5000)
    past = History(trainer.run)
    for step in range(1, 401):
        trainer.sample(loss=float(step % 13), lr=0.1)
        if step % 29 == 0:
            past.catch_up()
    past.catch_up()
    whole = past.read(["loss"], *WHOLE)["loss"]
    if chunk == 400:
        assert len(whole["step"]) < 100
        assert whole["samples_per_point"] > 1
    near = past.read(["loss", "lr"], 200, 230, 100)
    assert near["loss"]["step"] == list(range(200, 231))
    assert near["loss"]["value"] == [float(step % 13) for step in range(200, 231)]
    assert near["loss"]["samples_per_point"] == 1


def test_a_closer_look_leaves_out_what_was_superseded(
    trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again or not, it is the same story."""
    monkeypatch.setattr(columns.Column.__init__, "__defaults__", (8,))
    trainer.samples(60, loss=1.0)
    trainer.generation, trainer.step = 1, 29
    trainer.samples(10, loss=2.0)
    past = History(trainer.run)
    past.catch_up()
    near = past.read(["loss"], 20, 60, 400)["loss"]
    assert near["step"] == list(range(20, 40))
    assert near["value"] == [1.0] * 10 + [2.0] * 10


def test_a_journal_does_not_wait_for_samples(trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a long run take a while to read."""
    reading, read = Event(), Event()

    def for_long(_: History) -> None:
        reading.set()
        assert read.wait(10)

    monkeypatch.setattr(History, "catch_up", for_long)
    shelf = Shelf()
    other = Thread(target=shelf.history, args=(trainer.run, lambda past: past))
    other.start()
    assert reading.wait(10)
    journal = Thread(target=shelf.chronicle, args=(trainer.run, lambda story: story))
    journal.start()
    journal.join(5)
    waits = journal.is_alive()
    read.set()
    other.join()
    journal.join()
    assert not waits


def test_the_shelf_keeps_a_few_runs(new_trainer: NewTrainer) -> None:
    """The least recently asked for gives way; a run made anew under its name is read anew."""
    shelf, made = Shelf(), []
    for name in "abcdef":
        trainer = new_trainer(name)
        trainer.sample(loss=1.0)
        made.append(trainer)
    kept = [shelf.history(trainer.run, lambda past: past) for trainer in made]
    assert shelf.history(made[-1].run, lambda past: past) is kept[-1]
    assert shelf.history(made[0].run, lambda past: past) is not kept[0]
