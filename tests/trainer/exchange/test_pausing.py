"""Pausing: the training waits at a step boundary, and every way out of it works."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard_wire import Ack, Goodbye, Heartbeat


@contextmanager
def meanwhile(monitor: Monitor, act: Callable[[], object], *, num_heartbeats: int = 0) -> Iterator[None]:
    """Do something in another thread, once the trainer has acknowledged the pause and sent some heartbeats in it."""

    def watch() -> None:
        while not done.wait(0.01):
            kinds = [record.kind if isinstance(record, Ack) else type(record) for record in monitor.records()]
            if "pause" in kinds and kinds[kinds.index("pause") :].count(Heartbeat) >= num_heartbeats:
                act()
                return

    done = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def guarded(run: Run, run_dir: Path, **options: Any) -> Guard:
    return Guard(run.model, run.optimizer, run_dir=run_dir, **{"checkpoint_every": None, **options})


def test_a_paused_run_waits_until_it_is_told_to_go_on(run_dir: Path, monitor: Monitor) -> None:
    """It sends heartbeats meanwhile, and the time is no step's."""
    run = Run()
    with guarded(run, run_dir, heartbeat_seconds=0.02) as guard:
        run.train(guard)
        monitor.ask(("pause", {}))
        with meanwhile(monitor, lambda: monitor.ask(("resume", {})), num_heartbeats=10):
            run.train(guard)
        assert guard.num_steps == 2
        run.train(guard)
        assert guard.errors == {}
    pause, resume = monitor.acks()
    assert (pause.kind, pause.status, pause.step) == ("pause", "applied", 2)
    assert (resume.kind, resume.status, resume.step) == ("resume", "applied", 2)
    assert resume.after is not None
    assert monitor.samples()[-1].values["step_seconds"] < resume.after


def test_a_stop_ends_a_pause(run_dir: Path, monitor: Monitor) -> None:
    """And saves, as ever."""
    run = Run()
    with guarded(run, run_dir, checkpoint_every=100) as guard:
        monitor.ask(("pause", {}))
        with meanwhile(monitor, lambda: monitor.ask(("stop", {}))):
            run.train(guard)
        assert guard.stopped
    assert (run_dir / "checkpoints" / "step-00000001").is_dir()
    last = monitor.records()[-1]
    assert isinstance(last, Goodbye)
    assert last.outcome == "stopped"


def test_nobody_holds_a_run_for_ever(run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture) -> None:
    """After `at_most` seconds it goes on by itself, which is said and counted."""
    run = Run()
    with guarded(run, run_dir) as guard:
        monitor.ask(("pause", {"at_most": 0.1}))
        run.train(guard, 2)
        assert guard.errors == {"pause": 1}
    assert said.messages[0] == "training is paused, until it is told to go on, or for 0.1 s at most"
    assert said.messages[1].startswith("pause: nobody ended it within 0.1")
    assert len(monitor.samples()) == 2


def test_what_is_asked_in_a_pause_is_done_in_it(run_dir: Path, monitor: Monitor) -> None:
    """A restore takes effect at this boundary; a learning rate is seen in the step after."""
    run = Run()

    def act() -> None:
        monitor.ask(("scale_lr", {"factor": 0.5}), ("save_checkpoint", {}))
        monitor.ask(("pause", {"at_most": 30}))
        monitor.ask(("resume", {}))

    with guarded(run, run_dir, checkpoint_every=100) as guard:
        monitor.ask(("pause", {}))
        with meanwhile(monitor, act):
            run.train(guard)
        run.train(guard)
    assert [(ack.kind, ack.step) for ack in monitor.acks()] == [
        *(("pause", 1), ("save_checkpoint", 1), ("pause", 1), ("resume", 1), ("scale_lr", 2))
    ]
    assert monitor.series("lr") == [0.1, 0.05]


def train_and_pause(run: Run, run_dir: Path, monitor: Monitor) -> None:
    with guarded(run, run_dir) as guard:
        monitor.ask(("pause", {}))
        run.train(guard)


def test_an_interrupt_gets_through(run_dir: Path, monitor: Monitor) -> None:
    """Ctrl-C is the user's, also in a pause; the run says goodbye."""
    run = Run()
    interrupt = meanwhile(monitor, lambda: os.kill(os.getpid(), signal.SIGINT))
    with interrupt, pytest.raises(KeyboardInterrupt):
        train_and_pause(run, run_dir, monitor)
    last = monitor.records()[-1]
    assert isinstance(last, Goodbye)
    assert (last.outcome, last.error) == ("failed", "KeyboardInterrupt")


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("resume", {}, "the run is not paused"),
        ("resume", {"at": 3}, "unknown parameter at"),
        ("pause", {"at_most": 0}, "at_most is 0, wanted a number above 0"),
        ("pause", {"at_most": 1e9}, "at_most is 1e+09 s, wanted no more than 7 days"),
        ("pause", {"for": 3}, "unknown parameter for"),
    ],
)
def test_refusals(kind: str, params: dict[str, Any], reason: str, run_dir: Path, monitor: Monitor) -> None:
    """And the run goes on."""
    run = Run()
    with guarded(run, run_dir) as guard:
        monitor.ask((kind, params))
        run.train(guard, 2)
    assert (monitor.last_ack().status, monitor.last_ack().reason) == ("refused", reason)


def test_a_framework_that_steps_itself_waits_as_well(run_dir: Path, monitor: Monitor) -> None:
    """In `after_step`."""
    run = Run()
    with guarded(run, run_dir) as guard:
        monitor.ask(("pause", {"at_most": 0.06}))
        loss, *_ = run.backward()
        guard.before_step(loss)
        run.optimizer.step()
        guard.after_step()
        assert guard.errors == {"pause": 1}
