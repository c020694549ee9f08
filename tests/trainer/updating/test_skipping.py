"""Actions that drop updates: `skip_steps`, and `set_gate`, whose verdicts are the matter of test_gate."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

from tests.trainer.support import Monitor, Run
from tests.trainer.updating.optimizers import ALL, assert_same_run
from trainguard import Guard

SKIPPED = {4, 5, 6}


def skip_three(run: Run, guard: Guard, monitor: Monitor, step: Any, steps: int = 10) -> None:
    for number in range(1, steps + 1):
        if number == 3:
            monitor.ask(("skip_steps", {"count": 3}))
        step(guard, *run.backward())


def whole(guard: Guard, loss: Any, logits: Any, y: Any) -> None:
    guard.step(loss, logits=logits, targets=y)


@pytest.mark.parametrize("halves", [False, True], ids=["guard.step", "before_step and after_step"])
@pytest.mark.parametrize("optimizer", ALL)
def test_skipped_updates_leave_no_trace(optimizer: str, halves: bool, run_dir: Path, monitor: Monitor) -> None:
    """Weights and optimizer state of a loop that did not step three times; the steps are measured and counted."""
    run = Run(ALL[optimizer])

    def split(guard: Guard, loss: Any, logits: Any, y: Any) -> None:
        guard.before_step(loss, logits=logits, targets=y)
        run.optimizer.step()
        guard.after_step()

    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        skip_three(run, guard, monitor, split if halves else whole)
        assert (guard.errors, guard.num_steps) == ({}, 10)
    plain = Run(ALL[optimizer])
    for step in range(1, 11):
        plain.backward()
        if step not in SKIPPED:
            plain.optimizer.step()
    assert_same_run(run, plain)
    assert {sample.step: sample.values.get("skipped") for sample in monitor.samples()} == {
        **dict.fromkeys((1, 2, 3)),
        **dict.fromkeys(SKIPPED, 1.0),
        **dict.fromkeys((7, 8, 9, 10), 0.0),
    }
    assert all(norm > 0 for norm in monitor.series("grad_norm"))
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", 4, 0.0, 3.0)
    written = b"".join(path.read_bytes() for path in monitor.directory.telemetry.glob("*"))
    assert b'"before":0.0,"after":3.0' in written, "a journal is the same, whoever the monitor is"


def test_several_optimizers_and_a_scaler(run_dir: Path, monitor: Monitor) -> None:
    """None of them steps, and the scale goes its way."""
    run, scaling = Run(), GradScaler("cpu", init_scale=8.0, growth_interval=100)
    first, *others = list(run.model.parameters())
    optimizers = [torch.optim.SGD([first], lr=0.1), torch.optim.AdamW(others, lr=0.1)]
    with Guard(run.model, optimizers, scaler=scaling, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("skip_steps", {"count": 2}))
        weights = []
        for _ in range(5):
            x, y = next(run.data)
            run.model.zero_grad()
            loss = nn.functional.cross_entropy(run.model(x), y)
            scaling.scale(loss).backward()
            guard.step(loss)
            weights.append([parameter.detach().clone() for parameter in run.model.parameters()])
        assert guard.errors == {}
    moved = [[not torch.equal(a, b) for a, b in zip(before, after, strict=True)] for before, after in pairwise(weights)]
    assert [all(each) for each in moved] == [False, False, True, True]
    assert not any(moved[0] + moved[1])
    assert scaling.get_scale() == 8.0


def test_a_second_request_makes_it_longer_and_never_shorter(run_dir: Path, monitor: Monitor) -> None:
    """The ack says how many were left before, and how many after; a resumed run goes on skipping."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        for count in (5, 1, 7):
            monitor.ask(("skip_steps", {"count": count}))
            run.train(guard)
        run.train(guard)
        state = json.loads(json.dumps(guard.state_dict()))
    assert [(ack.before, ack.after) for ack in monitor.acks()] == [(0, 5), (4, 4), (3, 7)]
    resumed = Run()
    before = resumed.model.layers[0].weight.detach().clone()
    with Guard(resumed.model, resumed.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.load_state_dict(state)
        resumed.train(guard, 6)
        assert torch.equal(before, resumed.model.layers[0].weight)
        resumed.train(guard)
        assert not torch.equal(before, resumed.model.layers[0].weight)


def test_skipping_after_a_restore_passes_over_the_data(run_dir: Path, monitor: Monitor) -> None:
    """As PaLM did it: back, and some batches further on."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        start = run.model.layers[0].weight.detach().clone()
        run.train(guard, 2)
        monitor.promote(0)
        monitor.ask(("restore_checkpoint", {}), ("skip_steps", {"count": 3}))
        run.train(guard, 4)
        assert torch.equal(start, run.model.layers[0].weight)
        run.train(guard)
        assert not torch.equal(start, run.model.layers[0].weight)
    assert [ack.status for ack in monitor.acks()] == ["applied", "applied"]


def test_set_gate_configures_the_gate_from_the_next_step_on(run_dir: Path, monitor: Monitor) -> None:
    """What it names and nothing else: what an earlier one named is off."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("set_gate", {"nonfinite": True, "factor": 5, "max_norm": None}))
        run.train(guard)
        assert (guard.gate.nonfinite, guard.gate.factor, guard.gate.max_norm) == (True, 5.0, None)
        before = run.model.layers[0].weight.detach().clone()
        loss, *_ = run.backward()
        run.model.layers[0].weight.grad[0, 0] = math.nan
        guard.step(loss)
        assert torch.equal(before, run.model.layers[0].weight)
        monitor.ask(("set_gate", {"max_norm": 1e-9}))
        run.train(guard, 2)
        assert (guard.gate.nonfinite, guard.gate.factor, guard.gate.max_norm) == (False, None, 1e-9)
        monitor.ask(("set_gate", {}))
        run.train(guard)
        assert not guard.gate.is_on
        assert guard.errors == {}
    assert monitor.series("gated") == [1.0, 0.0, 1.0, 1.0]
    assert [(ack.status, ack.step) for ack in monitor.acks()] == [("applied", 1), ("applied", 3), ("applied", 5)]


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("skip_steps", {}, "count is None, wanted a whole number of at least 1"),
        ("skip_steps", {"count": 1000001}, "count is 1000001, wanted a whole number of at most 1000000"),
        ("skip_steps", {"count": 0}, "count is 0, wanted a whole number of at least 1"),
        ("skip_steps", {"count": 1.5}, "count is 1.5"),
        ("set_gate", {"factor": 1}, "factor is 1, wanted a number above 1"),
        ("set_gate", {"max_norm": 0}, "max_norm is 0, wanted a number above 0"),
        ("set_gate", {"nonfinite": 1}, "nonfinite is 1, wanted true or false"),
        ("set_gate", {"z": 3}, "unknown parameter z"),
    ],
)
def test_bad_parameters_are_refused(
    kind: str, params: dict[str, Any], reason: str, run_dir: Path, monitor: Monitor
) -> None:
    """By name and value, and nothing is changed."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask((kind, params))
        run.train(guard, 2)
        assert not guard.gate.is_on
    assert monitor.last_ack().status == "refused"
    assert reason in monitor.last_ack().reason
    assert monitor.series("skipped") == []
