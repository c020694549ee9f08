"""kill -9 of the monitor in mid-run harms nothing: the training goes on, and the next monitor takes up the work.

The story is read back from the run's files: what was told, what was done, and whether the journal is exactly
what a fold over the telemetry derives.
"""

import random
import time
from collections import Counter

import pytest

from tests.loop.support import Progress, Training, everything, monitor
from trainguard_rules import Engine, load_rules
from trainguard_wire import Ack, Intervention, Opened, RunDirectory

EPOCHS = 60
BURST, CORRUPTION = round(0.3 * EPOCHS * 45), round(0.5 * EPOCHS * 45)


@pytest.fixture
def started(tmp_path):
    """A run with both faults, started, and its directory."""
    run = RunDirectory(tmp_path / "runs" / "a")
    training = Training(tmp_path / "result.json", "--faults", "--epochs", str(EPOCHS), "--run-dir", str(run.path))
    yield training, run
    training.process.kill()
    training.process.join()


def check(run):
    """No action told twice or done twice, and the journal is what the telemetry gives; returns the acks applied."""
    interventions = [m for m in everything(run.read_control()) if isinstance(m, Intervention)]
    assert len({i.id for i in interventions}) == len(interventions), "told once"
    telemetry = everything(run.read_telemetry())
    acks = [r for r in telemetry if isinstance(r, Ack)]
    assert max(Counter(ack.action for ack in acks).values()) == 1, "answered once"
    told = {action.id for i in interventions for action in i.actions}
    assert {ack.action for ack in acks} == told, "everything told was heard"
    engine = Engine(load_rules(["stability"]))
    derived = [record for fed in telemetry for record in engine.feed(fed).journal]
    journal = [record for record in everything(run.read_journal()) if not isinstance(record, Opened)]
    assert journal == derived, "the journal is the fold, whole, in order, once"
    return [ack for ack in acks if ack.status == "applied"]


def test_killed_between_two_faults(started):
    """The first monitor deals with the first fault, the second, started later, with the second."""
    training, run = started
    progress = Progress(run)
    with monitor(run.path.parent) as first:
        while not progress.reached(BURST + 100)():
            time.sleep(0.005)
        first.kill()
        first.wait()
    with monitor(run.path.parent):
        data = training.finish()
    applied = check(run)
    restored = [ack.checkpoint for ack in applied if ack.kind == "restore_checkpoint"]
    assert any(checkpoint < BURST for checkpoint in restored)
    assert any(BURST < checkpoint < CORRUPTION for checkpoint in restored)
    assert data["accuracy"] > 0.95


def test_dead_while_the_fault_strikes(started):
    """Nobody watches when the tensor is corrupted; the monitor that comes later still saves the run."""
    training, run = started
    progress = Progress(run)
    with monitor(run.path.parent) as first:
        while not progress.reached(CORRUPTION - 60)():
            time.sleep(0.005)
        first.kill()
        first.wait()
    while not progress.reached(CORRUPTION + 300)():
        time.sleep(0.005)
    with monitor(run.path.parent):
        data = training.finish()
    applied = check(run)
    late = [ack for ack in applied if ack.kind == "restore_checkpoint" and ack.step > CORRUPTION + 300]
    assert late
    assert all(ack.checkpoint < CORRUPTION for ack in late)
    assert data["accuracy"] > 0.95


def test_killed_again_and_again(started):
    """Wherever the kills fall, each action is told once, done once, and on record."""
    training, run = started
    moments = random.Random(0)
    while training.process.is_alive():
        with monitor(run.path.parent) as victim:
            time.sleep(moments.uniform(0.0, 0.5))
            victim.kill()
            victim.wait()
    with monitor(run.path.parent):
        pass  # the last one reads what is left, and writes down what was missed
    training.end()
    check(run)
