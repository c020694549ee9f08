"""A run that nobody acts upon is the run it would have been, and no failure of ours reaches it."""

import fcntl
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.support import Monitor, Run, assert_same, disk_full_beyond, weights_of
from trainguard import Guard, Knob
from trainguard.signals.base import Sensor, StepView, every
from trainguard_wire import CheckpointSaved, RunDirectory
from trainguard_wire.signals import SIGNALS

EVERY_SIGNAL = dict.fromkeys(SIGNALS, 1)
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


@pytest.mark.parametrize(("max_norm", "num_micro_batches", "budget"), [(0.05, 1, None), (1e9, 1, 0.01), (0.05, 3, 0.5)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_bit_for_bit_those_of_the_plain_loop(
    optimizer: str, max_norm: float, num_micro_batches: int, budget: float | None, run_dir: Path
) -> None:
    """Every signal, checkpoints, clipping, dropout, a scheduler, accumulated gradients, a budget: nothing changes."""
    plain = Run(OPTIMIZERS[optimizer])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(plain.optimizer, 30)
    for _ in range(30):
        plain.backward(num_micro_batches)
        torch.nn.utils.clip_grad_norm_(plain.model.parameters(), max_norm)
        plain.optimizer.step()
        schedule.step()

    plain_draw = (torch.rand(1).item(), plain.optimizer.state_dict())
    guarded = Run(OPTIMIZERS[optimizer])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(guarded.optimizer, 30)
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()
    options: dict[str, Any] = {"checkpoint_every": 7, "every": EVERY_SIGNAL, "heartbeat_seconds": 1e-6}
    with Guard(
        guarded.model, guarded.optimizer, scheduler=schedule, run_dir=run_dir, budget=budget, **options
    ) as guard:
        for _ in range(30):
            loss, logits, y = guarded.backward(num_micro_batches)
            guard.clip_(max_norm)
            guard.step(loss, logits=logits, targets=y, groups=y // 2)
            schedule.step()

    assert_same(plain.model.state_dict(), guarded.model.state_dict())
    assert guard.errors.keys() <= {"checkpoint.skipped"}
    assert torch.rand(1).item() == plain_draw[0]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == (python_state, numpy_state)
    for mine, theirs in zip(
        guarded.optimizer.state_dict()["state"].values(), plain_draw[1]["state"].values(), strict=True
    ):
        assert_same(
            {name: torch.as_tensor(value) for name, value in mine.items() if value is not None},
            {name: torch.as_tensor(value) for name, value in theirs.items() if value is not None},
        )


@pytest.mark.parametrize("poison", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_clip_leaves_the_gradients_torch_leaves(
    dtype: torch.dtype, max_norm: float, poison: float | None, run_dir: Path
) -> None:
    """The same gradients and the same norm, non-finite ones included."""
    ours, theirs = after_backward(poison, dtype), after_backward(poison, dtype)
    with Guard(ours.model, ours.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        norm = guard.clip_(max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), max_norm)
    assert_same({"norm": norm}, {"norm": expected})
    assert_same(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_norm_of_16_bits_is_measured_in_32(dtype: torch.dtype, run_dir: Path) -> None:
    """What torch clips by is coarse, and infinite above 65,504; what the gate and the rules see is neither."""
    run = Run()
    run.model.to(dtype)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every={"layers": 1}) as guard:
        guard.gate.configure(nonfinite=True)
        for size in (0.3, 25_000.0):
            for parameter in run.model.parameters():
                parameter.grad = torch.full_like(parameter, size)
            grads = [parameter.grad.double() for parameter in run.model.parameters()]
            guard.clip_(1.0)
            guard.step()
            assert guard.last["grad_norm"] == pytest.approx(
                float(torch.cat([g.flatten() for g in grads]).norm()), rel=1e-5
            )
            assert guard.last["gated"] == 0
    assert guard.last["grad_norm"] > 65_504


@pytest.mark.parametrize("share", [0.5, 0.9, 0.9985, 0.9995, 1.0, 1.1])
@pytest.mark.parametrize("max_norm", [1e-6, 1e-4, 1.0])
def test_clip_close_to_the_limit(max_norm: float, share: float, run_dir: Path) -> None:
    """torch puts 1e-6 on the norm, and so clips a small one that is below the limit."""
    ours, theirs = twice = [after_backward(None, torch.float32) for _ in range(2)]
    norm = torch.nn.utils.get_total_norm(gradients(theirs).values())
    for run in twice:
        for grad in gradients(run).values():
            grad.mul_(share * max_norm / norm)
    with Guard(ours.model, ours.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.clip_(max_norm)
    torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), max_norm)
    assert_same(gradients(ours), gradients(theirs))


def after_backward(poison: float | None, dtype: torch.dtype) -> Run:
    run = Run()
    run.backward()
    run.model.to(dtype)
    if poison is not None:
        run.model.layers[0].weight.grad[0, 0] = poison
    return run


def test_clip_of_mixed_types_and_of_nothing(run_dir: Path) -> None:
    """Gradients of two types go torch's way; no gradients give a norm of 0."""
    models = [torch.nn.ParameterList([torch.ones(3), torch.ones(2, dtype=torch.float64)]) for _ in range(2)]
    for model in models:
        for parameter in model:
            parameter.grad = parameter.detach() * 5
    guard = Guard(models[0], torch.optim.SGD(models[0].parameters(), lr=1), run_dir=run_dir)
    norm = guard.clip_(1.0)
    assert norm == torch.nn.utils.clip_grad_norm_(models[1].parameters(), 1.0)
    assert all(torch.equal(mine.grad, theirs.grad) for mine, theirs in zip(*models, strict=True))
    guard.step()
    models[0].zero_grad()
    assert guard.clip_(1.0) == 0
    guard.close()


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")  # torch's, of what is done here on purpose
@pytest.mark.parametrize("max_norm", [0.01, 1e9])
def test_clip_of_gradients_that_have_gradients(max_norm: float, run_dir: Path) -> None:
    """Of a backward pass with ``create_graph=True``: what torch leaves, and what comes of it when it is derived."""
    ours, theirs = twice = [Run(), Run()]
    for run in twice:
        x = torch.ones(1, 8)
        run.model.eval()(x).square().sum().backward(create_graph=True)
    with Guard(ours.model, ours.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        norm = guard.clip_(max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), max_norm)
    assert_same({"norm": norm.detach()}, {"norm": expected.detach()})
    assert_same(gradients(ours), gradients(theirs))
    for run in twice:
        sum(grad.square().sum() for grad in gradients(run).values()).backward()
    assert_same(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("max_norm", [0.01, 1e9])
def test_clip_of_sparse_gradients(max_norm: float, run_dir: Path) -> None:
    """torch refuses to clip them; they are scaled like the dense ones beside them."""
    model = torch.nn.Sequential(torch.nn.Embedding(10, 4, sparse=True), torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Guard(model, optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        model(torch.tensor([1, 2, 2])).square().sum().backward()
        dense = [parameter.grad.to_dense().clone() for parameter in model.parameters()]
        norm = guard.clip_(max_norm)
    expected = torch.cat([grad.flatten() for grad in dense]).norm()
    torch.testing.assert_close(norm, expected)
    for parameter, grad in zip(model.parameters(), dense, strict=True):
        torch.testing.assert_close(parameter.grad.to_dense(), grad * min(1.0, max_norm / (expected + 1e-6)))


def test_the_users_own_exception_comes_out_untouched_and_the_lr_is_put_back(run_dir: Path) -> None:
    """An optimizer that raises is the user's affair; the group's lr is the scheduler's again."""

    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            raise ArithmeticError("mine")

    run = Run(lambda parameters: Broken(parameters, lr=0.1))
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        guard.load_state_dict({"step": 0, "lr": {"scale": 0.5, "ceiling": None}, "weight_decay": {"scale": 1.0}})
        with pytest.raises(ArithmeticError, match="mine"):
            run.train(guard)
        assert run.optimizer.param_groups[0]["lr"] == 0.1
        assert guard.num_steps == 0


def test_a_signal_that_raises_is_left_out_counted_and_said_once(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of the same step are still emitted."""

    class Broken(Sensor):
        name = "confidence"
        signals = every(confidence=1)

        def before_step(self, view: StepView, due: Any) -> dict[str, float]:
            raise RuntimeError("no confidence")

    monkeypatch.setattr("trainguard.signals.Predictions", Broken)
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 3)
        guard.heartbeat()
    assert [set(sample.values) for sample in monitor.samples()][1] >= {"loss", "grad_norm", "lr", "step_seconds"}
    assert "confidence" not in monitor.samples()[0].values
    assert monitor.last_heartbeat().errors == {"signal.confidence": 3}
    assert [message for message in said.messages if "no confidence" in message] == said.messages[:1]
    assert len(said.messages) == 1


def test_nonsense_arguments_in_the_loop_never_raise(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """What cannot be measured is left out, and named; the step is made and counted."""
    run = Run()
    every = {"confidence": 1, "bias_conflict_loss_share": 1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every=every) as guard:
        run.backward()
        guard.step(torch.ones(3), logits="logits", targets=object(), epoch=-1)  # type: ignore[arg-type]
        guard.observe(val_loss=None, good=1.5, loss=3.0)  # type: ignore[arg-type]
        guard.after_step()
        assert guard.num_steps == 1
    assert set(guard.errors) == {
        *("signal.loss", "signal.predictions", "signal.bias_conflict", "signal.val_loss"),
        *("epoch", "observe", "step"),
    }
    assert monitor.samples()[1].values == {"good": 1.5}
    assert any("signal.predictions: logits is 'logits' (str), wanted a tensor" in text for text in said.messages)


def test_what_cannot_be_read_keeps_nothing_else_from_its_step(run_dir: Path, monitor: Monitor) -> None:
    """A knob may give back anything. The other values are told, checkpoints are saved and control is read."""
    numbers: list[Any] = [0.5]
    run, knob = Run(), Knob(lambda: numbers[0], lambda _: None, 0, 1)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, knobs={"k": knob}) as guard:
        numbers[0] = 10**400
        run.train(guard)
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 3)
    assert guard.errors == {"signal.knob_k": 4}
    assert [record.step for record in monitor.records() if isinstance(record, CheckpointSaved)] == [0, 2, 4]
    assert monitor.last_ack().status == "applied"
    assert len(monitor.series("loss")) == 4


def test_a_report_that_fails_keeps_the_step_from_nothing_else(
    run_dir: Path, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was: the boundary is crossed all the same."""

    def fail(*_: Any) -> None:
        raise ArithmeticError("no reading")

    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        monkeypatch.setattr(guard._stepper._readout, "submit", fail)
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 4)
    assert guard.errors == {"step": 4}
    assert [record.step for record in monitor.records() if isinstance(record, CheckpointSaved)] == [0, 2, 4]
    assert monitor.last_ack().status == "applied"


def test_an_epoch_that_is_no_number_is_named(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 2, epoch="five")
    assert guard.errors == {"epoch": 2}
    assert "epoch is 'five' (str), wanted a whole number of at least 0" in said.messages[0]


def test_a_file_in_place_of_the_run_directory(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """Training goes on unwatched, which is said once and counted."""
    (tmp_path / "run").write_text("")
    check_goes_on_unwatched(tmp_path / "run", said, "Not a directory")


def test_a_lease_held_by_another_trainer(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """Training goes on unwatched, and writes nothing into the other's directory."""
    directory = RunDirectory(run_dir)
    directory.create()
    with directory.trainer_lock.open("w") as file:  # as a process has it that is not this one
        fcntl.flock(file, fcntl.LOCK_EX)
        check_goes_on_unwatched(run_dir, said, "already has a trainer")
    assert not directory.exists()
    assert list(directory.checkpoints.iterdir()) == []


def check_goes_on_unwatched(path: Path, said: pytest.LogCaptureFixture, words: str) -> None:
    plain = Run()
    for _ in range(3):
        plain.backward()
        plain.optimizer.step()
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=path, checkpoint_every=1) as guard:
        run.train(guard, 3)
    assert_same(plain.model.state_dict(), run.model.state_dict())
    assert guard.lost == 4  # three samples and a goodbye
    assert guard.errors == {"run_directory": 1}
    assert len(said.messages) == 1
    assert words in said.messages[0]


def test_a_directory_deleted_in_mid_run(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """Noticed with the next heartbeat; from there on records count as lost."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, heartbeat_seconds=1e-6) as guard:
        run.train(guard, settled=True)
        shutil.rmtree(run_dir)
        run.train(guard, 4)
        assert guard.num_steps == 5
        assert guard.lost > 3
    assert set(guard.errors) == {"telemetry", "checkpoint"}
    assert sum("telemetry" in message for message in said.messages) == 1
    assert not run_dir.exists()


def test_a_full_disk(run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture) -> None:
    """Records are lost and counted, checkpoints fail whole; both come back with the space."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        run.train(guard, settled=True)
        with disk_full_beyond(200):
            run.train(guard, 4, settled=True)
        assert guard.num_steps == 5
        lost = guard.lost
        assert lost == 6, "four samples and two checkpoints, which are in memory all the same"
        run.train(guard)
        guard.heartbeat()
        assert guard.lost == lost
    heartbeat = monitor_heartbeat_of(run_dir)
    assert (heartbeat["lost"], heartbeat["errors"]) == (6, {"telemetry": 6, "checkpoint": 2})
    assert len(said.messages) == 2
    assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == ["step-00000000", "step-00000006"]


def monitor_heartbeat_of(run_dir: Path) -> dict[str, Any]:
    """The last heartbeat, of a file that may hold torn lines."""
    lines = (run_dir / "telemetry" / "000001.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines if b'"heartbeat"' in line][-1]


def test_a_guard_that_is_closed_or_never_entered(run_dir: Path, monitor: Monitor) -> None:
    """Without ``with`` it works from the first step on; after close() it only steps the optimizer."""
    run = Run()
    guard = Guard(run.model, run.optimizer, run_dir=run_dir)
    run.train(guard, 2)
    guard.close()
    guard.close()
    before = weights_of(run.model)
    run.train(guard)
    guard.observe(x=1.0)
    guard.heartbeat()
    assert not torch.equal(before["layers.0.weight"], run.model.layers[0].weight)
    assert [type(record).__name__ for record in monitor.records()] == [
        *("Hello", "CheckpointSaved", "Sample", "Sample", "Goodbye")
    ]


def test_import_brings_neither_monitor_nor_rules() -> None:
    """The trainer stands alone, and starts no thread."""
    code = (
        "import sys, threading, trainguard;"
        "assert not [m for m in sys.modules if m.startswith(('trainguard_monitor', 'trainguard_rules'))];"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def gradients(run: Run) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in run.model.named_parameters()}
