"""kill -9 of the monitor in mid-run harms nothing: the training goes on, and the next monitor takes up the work.

The story is read back from the run's files: what was told, what was done, and whether the journal is exactly
what a fold over the telemetry derives.
"""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loop.support import STEPS_PER_EPOCH, Training, monitor
from tests.support.records import everything
from tests.support.waiting import until
from trainguard_rules import Engine, load_rules
from trainguard_wire import Ack, Intervention, Opened, RunDirectory

EPOCHS = 40
BURST, CORRUPTION, END = (round(share * EPOCHS * STEPS_PER_EPOCH) for share in (0.3, 0.5, 1))
Start = Callable[..., tuple[Training, RunDirectory]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a run with both faults, which halts at the steps given: the training, and the run's directory."""
    begun = []

    def start(*halts: int) -> tuple[Training, RunDirectory]:
        run = RunDirectory(tmp_path / "runs" / "a")
        arguments = ("--faults", "--epochs", str(EPOCHS), "--run-dir", str(run.path))
        begun.append(Training(tmp_path / "result.json", *arguments, halts=halts))
        return begun[-1], run

    yield start
    for training in begun:
        training.process.kill()
        training.process.join()


def kill(victim: "subprocess.Popen[bytes]") -> None:
    victim.kill()
    victim.wait()


def told(run: RunDirectory) -> list[Intervention]:
    return [m for m in everything(run.read_control()) if isinstance(m, Intervention)]


def opened_by(run: RunDirectory) -> set[int]:
    """Process ids of the monitors that have written in the journal."""
    return {record.pid for record in everything(run.read_journal()) if isinstance(record, Opened)}


def check(run):
    """No action told twice or done twice, and the journal is what the telemetry gives; returns the acks applied."""
    interventions = told(run)
    assert len({i.id for i in interventions}) == len(interventions), "told once"
    telemetry = everything(run.read_telemetry())
    acks = [r for r in telemetry if isinstance(r, Ack)]
    assert max(Counter(ack.action for ack in acks).values()) == 1, "answered once"
    asked = {action.id for i in interventions for action in i.actions}
    assert {ack.action for ack in acks} == asked, "everything told was heard"
    engine = Engine(load_rules(["stability"]))
    derived = [record for fed in telemetry for record in engine.feed(fed).journal]
    journal = [record for record in everything(run.read_journal()) if not isinstance(record, Opened)]
    assert journal == derived, "the journal is the fold, whole, in order, once"
    return [ack for ack in acks if ack.status == "applied"]


def first_fault_watched(training, run):
    """By a monitor that is killed once it has acted, while the training stands after the first fault."""
    with monitor(run.path.parent) as first:
        training.halted()
        training.go_on()
        training.halted()
        until(lambda: told(run))
        kill(first)


def test_killed_between_two_faults(start):
    """The first monitor deals with the first fault, the second, started later, with the second."""
    training, run = start(BURST - 10, BURST + 60, CORRUPTION - 10, CORRUPTION + 60)
    first_fault_watched(training, run)
    training.go_on()
    with monitor(run.path.parent):
        training.halted()
        training.go_on()
        training.halted()
        until(lambda: told(run)[-1].step >= CORRUPTION)
        training.go_on()
        data = training.finish()
    restored = [ack.checkpoint for ack in check(run) if ack.kind == "restore_checkpoint"]
    assert any(checkpoint < BURST for checkpoint in restored)
    assert any(BURST < checkpoint < CORRUPTION for checkpoint in restored)
    assert data["accuracy"] > 0.95


def test_dead_while_the_fault_strikes(start):
    """Nobody watches when the tensor is corrupted; the monitor that comes later still saves the run."""
    late = CORRUPTION + 300
    training, run = start(BURST - 10, CORRUPTION - 60, late)
    first_fault_watched(training, run)
    training.go_on()
    training.halted()
    assert all(each.step < CORRUPTION for each in told(run))
    with monitor(run.path.parent):
        until(lambda: told(run)[-1].expires_step > late)
        training.go_on()
        data = training.finish()
    restores = [ack for ack in check(run) if ack.kind == "restore_checkpoint" and ack.step >= late]
    assert restores
    assert all(ack.checkpoint < CORRUPTION for ack in restores)
    assert data["accuracy"] > 0.95


def test_killed_again_and_again(start):
    """Wherever the kills fall, each action is told once, done once, and on record."""
    halts = (BURST - 20, BURST + 60, CORRUPTION - 20, CORRUPTION + 60, CORRUPTION + 300)
    training, run = start(*halts)
    moments = random.Random(0)
    for _ in halts:
        training.halted()
        with monitor(run.path.parent) as victim:
            until(lambda: victim.pid in opened_by(run))
            training.go_on()
            time.sleep(moments.uniform(0.0, 0.1))
            kill(victim)
    with monitor(run.path.parent):
        training.end()
    check(run)
    assert len(opened_by(run)) == len(halts) + 1, "each of them had taken the run up"
