"""A scripted trainer that writes real telemetry, and what tests want to know of a run's files."""

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from tests.support.records import everything
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.server import Server, address_of, bind
from trainguard_monitor.views.table import RulesView, RunView
from trainguard_rules import RuleBook
from trainguard_wire import (
    Ack,
    CheckpointSaved,
    Control,
    Goodbye,
    Heartbeat,
    Hello,
    Intervention,
    Journal,
    Opened,
    RunDirectory,
    RunInfo,
    SegmentWriter,
    Telemetry,
    sample_of,
)

SIGNALS = ("loss", "grad_norm", "lr")
ACTIONS = ("scale_lr", "restore_checkpoint", "save_checkpoint", "stop")
START = 1_700_000_000.0

RULES = """\
groups:
  - name: stability
    rules:
      - guard: GradientExplosion
        expr: grad_norm > 10
        actions:
          - scale_lr: {factor: 0.5}
        cooldown: 5 steps
"""
OTHER_RULES = RULES.replace("grad_norm > 10", "grad_norm > 20")
BAD_RULES = """\
groups:
  - name: stability
    rules:
      - guard: Misspelt
        expr: grad_nrom > 10
        fro: 1 step
"""
VARIED_RULES = """\
params: {ceiling: 10}
checkpoints: {good_after: 5 steps}
groups:
  - name: stability
    rules:
      - guard: GradientExplosion
        expr: grad_norm > ceiling
        for: 2 steps
        actions:
          - scale_lr: {factor: 0.5, min: 1e-5}
        cooldown: 50 steps
        limit: 3 per 1000 steps
        verify: {expr: grad_norm < ceiling, within: 20 steps, otherwise: revert}
        labels: {severity: critical}
        annotations: {summary: "norm {value:.3g} at step {step}, <b>far</b> above"}
      - guard: LossHigh
        expr: loss > 4
        for: 1000s
        keep_firing_for: 1m
        labels: {severity: warning}
  - name: hopes
    rules:
      - guard: Asks
        expr: loss > 8
        mode: approve
        actions: [{stop: {}}]
        annotations: {summary: "loss is {value:.3g}"}
      - expect: LossHalves
        expr: loss < 0.1
        within: 1000 steps
"""


class ScriptedTrainer:
    """Writes a run the way a trainer does, one record per call. Time is a function of the step."""

    def __init__(self, path: Path, *, introduce: bool = True) -> None:
        self.run = RunDirectory(path)
        self.run.create()
        self.writer = self.run.write_telemetry()
        self.step = 0
        self.generation = 0
        if introduce:
            self.introduce()

    def introduce(self) -> None:
        """Write run.json, with which the directory becomes a run."""
        self.run.write_info(RunInfo(run=self.run.name, pid=1, started=START, signals=SIGNALS, actions=ACTIONS))

    @property
    def now(self) -> float:
        return START + self.step

    def hello(self) -> None:
        self.write(
            Hello(
                step=self.step,
                generation=self.generation,
                time=self.now,
                run=self.run.name,
                pid=1,
                signals=SIGNALS,
                actions=ACTIONS,
            )
        )

    def sample(self, *, layers: Mapping[str, float] | None = None, **values: float) -> None:
        """The next step's sample."""
        self.step += 1
        self.write(sample_of(values, step=self.step, generation=self.generation, time=self.now, layers=layers))

    def samples(self, count: int, **values: float) -> None:
        for _ in range(count):
            self.sample(**(values or {"loss": 1.0, "grad_norm": 1.0}))

    def apply(self, intervention: Intervention) -> None:
        """Acknowledge every action of an intervention as applied."""
        for action in intervention.actions:
            self.ack(action.kind, action.id)

    def ack(self, kind: str, action: str = "x.0.0") -> None:
        self.write(
            Ack(
                step=self.step,
                generation=self.generation,
                time=self.now,
                action=action,
                kind=kind,
                status="applied",
                before=1.0,
                after=0.5,
            )
        )

    def checkpoint(self) -> None:
        self.write(CheckpointSaved(step=self.step, generation=self.generation, time=self.now))

    def heartbeat(self, lost: int = 0) -> None:
        self.write(Heartbeat(step=self.step, generation=self.generation, time=self.now, lost=lost))

    def goodbye(self, lost: int = 0, *, stopped: bool = False, error: str = "") -> None:
        self.write(
            Goodbye(
                step=self.step,
                generation=self.generation,
                time=self.now,
                outcome="failed" if error else "stopped" if stopped else "finished",
                error=error,
                lost=lost,
            )
        )

    def write(self, record: Telemetry) -> None:
        self.writer.append(record)

    def close(self) -> None:
        self.writer.close()


class Still:
    """A monitor of these runs in which nothing moves."""

    def __init__(self, *runs: RunView, ready: bool = True) -> None:
        self._runs, self.ready = list(runs), ready

    def rules(self) -> RulesView:
        return RulesView(book=RuleBook(rules=(), sources=("stability",), sha256="f00"), loaded_at=12.5)

    def runs(self) -> list[RunView]:
        return self._runs


def journal_of(run: RunDirectory) -> list[Journal]:
    return everything(run.read_journal())


def derived_in(run: RunDirectory) -> list[Journal]:
    """The journal without who opened it."""
    return [record for record in journal_of(run) if not isinstance(record, Opened)]


def openings_of(run: RunDirectory) -> list[Opened]:
    return [record for record in journal_of(run) if isinstance(record, Opened)]


def control_of(run: RunDirectory) -> list[Control]:
    """Everything ever told to the trainer, in order."""
    return everything(run.read_control())


def interventions_of(run: RunDirectory) -> list[Intervention]:
    return [message for message in control_of(run) if isinstance(message, Intervention)]


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, *spared: str) -> Iterator[None]:
    """The monitor's writes fail, but for folders ``spared``; the trainer's go through."""
    append = SegmentWriter.append

    def fail(writer: SegmentWriter, record: Telemetry | Control | Journal) -> None:
        if writer.directory.name not in ("telemetry", *spared):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(writer, record)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "append", fail)
        yield


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Run the daemon in a thread; at the end stop it, and let it read everything to the end."""
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        until(lambda: daemon.ready)
        yield daemon
    finally:
        daemon.stop()
        thread.join(60)
    assert not thread.is_alive()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of loopback; gives its URL."""
    bound = bind("127.0.0.1:0")
    server = Server(app, bound)
    server.start()
    try:
        yield f"http://{address_of(bound)}"
    finally:
        server.stop()
