"""Values on the host are read at once; values on a device come out later, in the order of the steps.

There is no accelerator here. `Far` is a tensor that says it is on one, and `Slow` a copy from it that arrives when
the test says so; everything else is what runs on an accelerator too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.slow import Slow, slow_readout
from tests.trainer.support import Far, Monitor, Run, assert_same, far
from trainguard import Guard, host_memory
from trainguard.faults import Faults
from trainguard.measuring.readout import Copy, Reading, Readout
from trainguard.progress import Moment
from trainguard.signals.norms import LayerNorms
from trainguard_wire import CheckpointSaved, Sample


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> list[Slow]:
    copies: list[Slow] = []
    monkeypatch.setattr("trainguard.wiring.Readout", lambda faults, exact: slow_readout(copies, exact=exact))
    return copies


def moment(step: int) -> Moment:
    return Moment(step, 0, None, float(step))


VALUES = {
    "half": (0.5, torch.bfloat16),
    "double": (1e-300, torch.float64),
    "count": (3, torch.int64),
    "nan": (float("nan"), torch.float32),
    "infinite": (float("inf"), torch.float32),
}


@pytest.mark.parametrize("make", [torch.tensor, far], ids=["host", "device"])
def test_every_scalar_is_read_and_nothing_else(make: Any) -> None:
    """Any type, any shape of one element, with or without gradient; in the order in which they were handed in."""
    faults = Faults()
    tensors = {name: make(value, dtype=dtype) for name, (value, dtype) in VALUES.items()}
    one = make([2.0]).requires_grad_()
    values: dict[str, Any] = {"number": 3, **tensors, "one": one, "many": make([1.0, 2.0]), "none": None}
    (reading,) = Readout(faults).submit(moment(1), values)
    assert reading.at == moment(1)
    assert list(reading.values) == ["number", *VALUES, "one"]
    assert list(reading.values.values()) == [3, *(pytest.approx(v, nan_ok=True, abs=0) for v, _ in VALUES.values()), 2]
    assert all(type(value) is float for value in reading.values.values())
    assert faults.counts == {"signal.many": 1, "signal.none": 1}


def test_without_streams_a_value_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Apple's devices, whose module has no ``current_stream``."""
    monkeypatch.setattr(torch, "get_device_module", lambda _: torch.mps)
    copy = Copy(torch.tensor([0.5, 2.0]))
    assert copy.has_arrived()
    copy.wait()
    assert copy.numbers() == [0.5, 2.0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a host that has no pinned memory to give")
def test_without_pinned_memory_a_copy_is_waited_for() -> None:
    """It is not the end of the run's readings."""
    memory = host_memory.empty((2, 3), torch.float64, pinned=True)
    assert (memory.shape, memory.dtype, memory.is_pinned()) == ((2, 3), torch.float64, False)


def test_what_is_under_way_holds_back_what_came_after() -> None:
    """Readings come out complete, oldest first, when their own copies are there; flush waits for the rest."""
    copies: list[Slow] = []
    readout = slow_readout(copies)
    assert readout.submit(moment(1), {"loss": far(1.0), "lr": 0.1}) == []
    assert readout.submit(moment(2), {"lr": 0.2}) == []
    assert readout.submit(moment(3), {"loss": far(3.0)}) == []
    first, third = copies
    third.here = True
    assert readout.submit(moment(4), {}) == []
    first.here = True
    assert readout.submit(moment(5), {"loss": far(5.0)}) == [
        Reading(moment(1), {"loss": 1.0, "lr": 0.1}),
        Reading(moment(2), {"lr": 0.2}),
        Reading(moment(3), {"loss": 3.0}),
        Reading(moment(4), {}),
    ]
    assert readout.flush() == [Reading(moment(5), {"loss": 5.0})]
    assert readout.submit(moment(6), {"lr": 0.2}) == [Reading(moment(6), {"lr": 0.2})]


@pytest.mark.parametrize("make", [torch.tensor, far], ids=["host", "device"])
def test_the_largest_layers_are_read_with_the_rest(make: Any) -> None:
    """From a device in a copy of their own, which the reading waits for; NaN comes first and stays NaN."""
    copies: list[Slow] = []
    readout = slow_readout(copies)
    names = [f"layer{number}" for number in range(12)]
    norms = make([float(number) for number in range(11)] + [float("nan")])
    readings = readout.submit(moment(1), {"loss": make(2.0), "layers": LayerNorms(names, norms)})
    assert len(copies) == (0 if readings else 2)
    if copies:
        copies[0].here = True
        assert readout.submit(moment(2), {}) == []
        copies[1].here = True
        readings = readout.flush()
    reading = readings[0]
    assert reading.values == {"loss": 2.0}
    assert reading.layers is not None
    assert list(reading.layers) == ["layer11", *(f"layer{number}" for number in range(10, 3, -1))]
    assert list(reading.layers.values()) == pytest.approx([float("nan"), *range(10, 3, -1)], nan_ok=True)


def test_layers_alone_make_a_reading() -> None:
    (reading,) = Readout(Faults()).submit(moment(1), {"layers": LayerNorms(["a"], torch.tensor([3.0]))})
    assert reading == Reading(moment(1), {}, {"a": 3.0})


def far_step(run: Run, guard: Guard, kind: type[Tensor] = Far) -> None:
    """A step whose loss is on a device, and its logits too unless told."""
    loss, logits, y = run.backward()
    guard.step(loss.detach().as_subclass(Far), logits=logits.detach().as_subclass(kind), targets=y)


def test_samples_of_a_device_come_one_step_late(run_dir: Path, monitor: Monitor, under_way: list[Slow]) -> None:
    """With the step, generation and time they belong to; the last one when the guard closes. The weights don't care."""
    run = Run()
    every = {"confidence": 1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every=every) as guard:
        for step in range(1, 4):
            for copy in under_way:
                copy.here = True
            far_step(run, guard)
            assert [sample.step for sample in monitor.samples()] == list(range(1, step))
            assert ("loss" in guard.last) == (step > 1)
    samples = monitor.samples()
    assert [sample.step for sample in samples] == [1, 2, 3]
    assert all({"loss", "grad_norm", "lr", "confidence"} <= set(sample.values) for sample in samples)
    assert np.all(np.diff([sample.time for sample in samples]) > 0)
    assert guard.last["loss"] == samples[-1].values["loss"]
    assert guard.errors == {}
    plain = Run()
    for _ in range(3):
        plain.backward()
        plain.optimizer.step()
    assert_same(plain.model.state_dict(), run.model.state_dict())


def test_acks_wait_for_the_values_they_need_and_for_no_others(
    run_dir: Path, monitor: Monitor, under_way: list[Slow]
) -> None:
    """A learning rate is known on the host; a diagnosis is acknowledged with the values of its own step."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        monitor.ask(("diagnose", {}), ("scale_lr", {"factor": 0.5}))
        far_step(run, guard, Tensor)
        under_way[0].here = True
        far_step(run, guard, Tensor)
        assert [(ack.kind, ack.step, ack.after) for ack in monitor.acks()] == [("scale_lr", 2, 0.05)]
        under_way[1].here = True
        far_step(run, guard, Tensor)
    diagnosis = monitor.acks()[1]
    diagnosed = next(sample for sample in monitor.samples() if "prediction_entropy" in sample.values)
    assert diagnosed.step == 2
    assert (diagnosis.kind, diagnosis.status, diagnosis.step) == ("diagnose", "applied", 3)
    assert diagnosis.after == diagnosed.values["prediction_entropy"]


def test_observed_values_keep_their_place(run_dir: Path, monitor: Monitor, under_way: list[Slow]) -> None:
    """A value of the user's on a device makes nobody wait either."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.observe(val_loss=far(2.0), accuracy=0.5)
        run.train(guard)
        assert monitor.samples() == []
    first, second = [record for record in monitor.records() if isinstance(record, Sample)]
    assert (first.step, first.values) == (0, {"val_loss": 2.0, "accuracy": 0.5})
    assert second.step == 1


def test_an_exact_run_reads_each_step_exactly_one_step_late() -> None:
    """However soon the values arrive: it waits for those of the step before, and holds back those of this one."""
    copies: list[Slow] = []
    readout = slow_readout(copies, exact=True)
    came = []
    for step in range(1, 6):
        values = {"x": far(float(step)) if step != 3 else float(step)}
        came.append([reading.at.step for reading in readout.submit(moment(step), values)])
        if step % 2:
            copies[-1].here = True
    assert came == [[], [1], [2], [3], [4]]
    assert [reading.values for reading in readout.flush()] == [{"x": 5.0}]


def test_a_checkpoint_is_reported_after_the_sample_of_its_step(
    run_dir: Path, monitor: Monitor, under_way: list[Slow]
) -> None:
    """The rules tell by that sample whether the run was well when it was saved. Its step is that of the state."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        for _ in range(5):
            for copy in under_way:
                copy.here = True
            far_step(run, guard)
    records = [(type(r).__name__, r.step) for r in monitor.records() if isinstance(r, Sample | CheckpointSaved)]
    assert records == [
        *(("CheckpointSaved", 0), ("Sample", 1), ("Sample", 2), ("CheckpointSaved", 2), ("Sample", 3)),
        *(("Sample", 4), ("CheckpointSaved", 4), ("Sample", 5)),
    ]
