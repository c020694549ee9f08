"""Lockstep as the trainer sees it: what came with the verdict is done in the step, and no verdict costs little."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.clock import Clock
from trainguard.exchange.emitter import Emitter
from trainguard.exchange.lockstep import PATIENCE, Lockstep
from trainguard.faults import Faults
from trainguard.progress import Progress
from trainguard_wire import Action, Control, Intervention, Judged, Telemetry

FOREVER = 60.0


class Monitored:
    """A source of control that answers at each look, and a clock that goes on by a tenth of a second with each."""

    def __init__(self, answer: Callable[[int], list[Control]] = lambda look: []) -> None:
        self.looks = 0
        self._answer = answer
        self._fresh: list[list[Control]] = []
        self.faults = Faults()
        clock = Clock(ticks=lambda: self.looks / 10)
        self.emitter = Emitter(Progress(), clock, self.faults)
        self.lockstep = Lockstep(self, 1.0, 3, emitter=self.emitter, clock=clock, faults=self.faults)

    def read(self) -> list[Control]:
        if self._fresh:
            return self._fresh.pop()
        self.looks += 1
        answer = self._answer(self.looks)
        self._fresh = [[]] if answer else []
        return answer


def judged(records: int, generation: int = 3) -> Judged:
    return Judged(step=1, generation=generation, records=records)


def intervention(name: str) -> Intervention:
    action = Action(id=f"{name}.0", kind="stop")
    return Intervention(id=name, rule="A", step=1, generation=3, expires_step=9, actions=(action,))


def test_waits_for_the_verdict_on_all_that_was_written() -> None:
    """Neither one about fewer records nor one about an older process will do; what came before it is returned."""
    answers = {
        2: [intervention("a")],
        3: [judged(4)],
        4: [judged(900, generation=2)],
        6: [intervention("b"), judged(5)],
    }
    monitored = Monitored(lambda look: answers.get(look, []))
    monitored.emitter.written = 5
    assert [message.id for message in monitored.lockstep.read()] == ["a", "b"]
    assert monitored.looks == 6
    assert monitored.lockstep.read() == []
    assert monitored.looks == 7, "nothing was written since: not waited for"
    assert monitored.faults.counts == {}


def test_stops_waiting_until_the_monitor_is_heard_again(said: pytest.LogCaptureFixture) -> None:
    """A monitor that died costs some deadlines; said once."""
    silent = [True]
    monitored = Monitored(lambda look: [] if silent[0] else [judged(monitored.emitter.written)])
    looks = []
    for _ in range(PATIENCE + 3):
        monitored.emitter.written += 1
        before = monitored.looks
        assert monitored.lockstep.read() == []
        looks.append(monitored.looks - before)
    assert looks == [11] * PATIENCE + [1] * 3
    assert monitored.faults.counts == {"lockstep": PATIENCE}
    assert len(said.messages) == 1
    assert "no verdict within 1 s" in said.messages[0]
    silent[0] = False
    monitored.lockstep.read()
    silent[0] = True
    monitored.emitter.written += 1
    monitored.lockstep.read()
    assert monitored.faults.counts == {"lockstep": PATIENCE + 1}, "it waits again"


class Answering(threading.Thread):
    """Judges each sample of a run a little late, and asks for something at step 3, as a monitor process would."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(daemon=True)
        self._monitor = monitor
        self._reader = monitor.directory.read_telemetry()
        self._done = threading.Event()

    def run(self) -> None:
        count = 0
        while not self._done.wait(0.002):
            for record in self._reader.read():
                count += 1
                self._say(record, count)

    def _say(self, record: Telemetry, count: int) -> None:
        if record.step == 3 and type(record).__name__ == "Sample":
            self._monitor.ask(("scale_lr", {"factor": 0.5}))
        self._monitor.send(Judged(step=record.step, generation=record.generation, records=count))

    def end(self) -> None:
        self._done.set()
        self.join()
        self._reader.close()


@pytest.fixture
def answering(monitor: Monitor) -> Iterator[Answering]:
    thread = Answering(monitor)
    thread.start()
    yield thread
    thread.end()


def test_what_a_step_led_to_is_done_in_that_step(run_dir: Path, monitor: Monitor, answering: Answering) -> None:
    """Not a step or two later: asked for at step 3, and in effect in step 4."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, lockstep=FOREVER) as guard:
        run.train(guard, 8)
        assert guard.errors == {}
    assert (monitor.last_ack().step, monitor.last_ack().after) == (4, 0.05)
    assert monitor.series("lr") == [0.1] * 3 + [0.05] * 5
    assert monitor.directory.read_info().lockstep


def test_without_a_monitor_training_goes_on(run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture) -> None:
    """A deadline for each of the first steps, then none."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, lockstep=0.001) as guard:
        run.train(guard, 20)
        assert guard.errors == {"lockstep": PATIENCE}
    assert len(said.messages) == 1
    assert len(monitor.samples()) == 20


def test_a_run_that_is_not_in_lockstep_passes_verdicts_over(run_dir: Path, monitor: Monitor) -> None:
    """They are for somebody else, and no intervention."""
    run = Run()
    options: dict[str, Any] = {"run_dir": run_dir, "checkpoint_every": None}
    with Guard(run.model, run.optimizer, **options) as guard:
        monitor.send(judged(1, generation=0))
        run.train(guard, 2)
        assert guard.errors == {}
    assert monitor.acks() == []
