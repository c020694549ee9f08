"""Trainings that judge themselves, with faults at chosen steps, and what they leave."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.records import everything
from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard_rules import Engine, load_rules
from trainguard_wire import Journal, Opened, RunDirectory

RULES = """\
checkpoints: {good_after: 5 steps}
groups:
  - name: test
    rules:
      - guard: Explosion
        expr: grad_norm > 100
        actions:
          - restore_checkpoint: {which: last_good}
          - scale_lr: {factor: 0.5}
        cooldown: 5 steps
      - guard: Warning
        expr: loss > 0
        for: 10 steps
"""


@contextmanager
def embedded(run: Run, run_dir: Path, rules: Any, **options: Any) -> Iterator[Guard]:
    options = {"checkpoint_every": 10, **options}
    with Guard(run.model, run.optimizer, run_dir=run_dir, monitor="embedded", rules=rules, **options) as guard:
        yield guard


def train(run: Run, guard: Guard, steps: int, bad: Iterable[int] = ()) -> None:
    """Train on; in the steps counted ``bad`` the gradients are a thousand times what they should be."""
    for _ in range(steps):
        loss, logits, y = run.backward()
        if guard.num_steps + 1 in bad:
            for parameter in run.model.parameters():
                parameter.grad *= 1e3
        guard.step(loss, logits=logits, targets=y)


def trained_plainly(steps: int) -> Run:
    run = Run()
    for _ in range(steps):
        run.backward()
        run.optimizer.step()
    return run


def journal_of(run_dir: Path) -> list[Journal]:
    return everything(RunDirectory(run_dir).read_journal())


def derived(run_dir: Path) -> list[Journal]:
    return [record for record in journal_of(run_dir) if not isinstance(record, Opened)]


def openings(run_dir: Path) -> list[Opened]:
    return [record for record in journal_of(run_dir) if isinstance(record, Opened)]


def fold(monitor: Monitor, rules: Path) -> list[Journal]:
    """What the telemetry derives."""
    engine = Engine(load_rules([rules]))
    return [record for fed in monitor.records() for record in engine.feed(fed).journal]
