"""The way back: what a restore brings back exactly, what goes on, and which checkpoint it takes."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import AveragedModel

from tests.trainer.support import Monitor, Run, assert_same, settle, weights_of
from trainguard import Guard
from trainguard.checkpoints import rng
from trainguard.checkpoints.optimizer_state import restore_moments
from trainguard.checkpoints.plain import plain

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, foreach=False),
    "adamw foreach": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, amsgrad=True, foreach=True),
    "adamw fused": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.01),
    "tensor lr": lambda parameters: torch.optim.Adam(parameters, lr=torch.tensor(0.01)),
}
RESTORE = ("restore_checkpoint", {"which": "last_good"})
PLACES = pytest.mark.parametrize("keep_in_memory", [2, 0], ids=["memory", "disk"])


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).clone()
        for index, entry in state.items()
        for name, value in entry.items()
        if value is not None
    }


def moments_tensors(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, torch.Tensor)]


@PLACES
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_after_a_restore_the_run_goes_on_as_it_would_have(
    optimizer: str, keep_in_memory: int, run_dir: Path, monitor: Monitor
) -> None:
    """Bit for bit as a run that went from the checkpoint straight to the batches after the restore."""
    straight = Run(OPTIMIZERS[optimizer])
    schedule = schedulers.ExponentialLR(straight.optimizer, 0.9)
    for step in range(1, 11):
        if 4 < step <= 7:  # three batches that the other run undoes; its schedule goes on
            next(straight.data)
        else:
            straight.backward()
            straight.optimizer.step()
        schedule.step()

    run = Run(OPTIMIZERS[optimizer])
    schedule = schedulers.ExponentialLR(run.optimizer, 0.9)
    with Guard(
        run.model, run.optimizer, scheduler=schedule, run_dir=run_dir, checkpoint_every=4, keep_in_memory=keep_in_memory
    ) as guard:
        run.train(guard, 4, scheduler=schedule)
        monitor.promote(4)
        run.train(guard, 2, scheduler=schedule)
        monitor.ask(RESTORE)
        run.train(guard, 4, scheduler=schedule)
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 4)
    assert_same(run.model.state_dict(), straight.model.state_dict())
    assert_same(moments_of(run.optimizer), moments_of(straight.optimizer))
    assert run.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"]
    assert guard.errors.keys() <= {"checkpoint.skipped"}


@PLACES
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_restore_is_exact_and_hyperparameters_go_on(
    optimizer: str, keep_in_memory: int, run_dir: Path, monitor: Monitor
) -> None:
    """Weights, buffers, moments and random states as they were, in the same tensors; lr and step go on."""
    run = Run(OPTIMIZERS[optimizer])
    schedule = schedulers.ExponentialLR(run.optimizer, 0.9)
    with Guard(
        run.model, run.optimizer, scheduler=schedule, run_dir=run_dir, checkpoint_every=4, keep_in_memory=keep_in_memory
    ) as guard:
        run.train(guard, 3, scheduler=schedule)
        run.train(guard)
        weights, moments = weights_of(run.model), moments_of(run.optimizer)
        torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()
        schedule.step()
        monitor.promote(4)
        run.train(guard, 2, scheduler=schedule)
        random.gauss(), np.random.rand()
        tensors = {id(p) for p in run.model.parameters()} | {id(p) for p in moments_tensors(run.optimizer)}
        monitor.ask(RESTORE)
        lr = float(run.optimizer.param_groups[0]["lr"])
        run.train(guard)

        assert_same(run.model.state_dict(), weights)
        assert_same(moments_of(run.optimizer), moments)
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert random.getstate() == python_state
        assert np.random.get_state()[1].tolist() == numpy_state[1].tolist()
        assert {id(p) for p in run.model.parameters()} | {id(p) for p in moments_tensors(run.optimizer)} == tensors
        assert all(parameter.grad is None for parameter in run.model.parameters())
        assert float(run.optimizer.param_groups[0]["lr"]) == lr
        assert guard.num_steps == 7
        run.train(guard)
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.generation, ack.checkpoint) == ("applied", 7, 1, 4)
    assert [(sample.step, sample.generation) for sample in monitor.samples()][-2:] == [(7, 0), (8, 1)]
    assert guard.errors.keys() <= {"checkpoint.skipped"}


@PLACES
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_restore_to_before_the_first_step(optimizer: str, keep_in_memory: int, run_dir: Path, monitor: Monitor) -> None:
    """Moments that did not exist yet are gone again, and training goes on as at first; and once more."""
    run = Run(OPTIMIZERS[optimizer])
    with Guard(run.model, run.optimizer, run_dir=run_dir, keep_in_memory=keep_in_memory) as guard:
        weights, moments = weights_of(run.model), moments_of(run.optimizer)
        groups = run.optimizer.param_groups
        lr = groups[0]["lr"]
        monitor.promote(0)
        for _ in range(2):
            monitor.ask(RESTORE)
            run.train(guard)
            assert_same(run.model.state_dict(), weights)
            assert_same(moments_of(run.optimizer), moments)
            assert run.optimizer.param_groups is groups
            assert groups[0]["lr"] is lr
            run.train(guard, 2)
    assert guard.errors.keys() <= {"checkpoint.skipped"}


def test_every_part_comes_back(run_dir: Path, monitor: Monitor) -> None:
    """Both optimizers, the gradient scaler, and an average of the weights that the user keeps."""
    run = Run()
    body, head = run.model.layers[0], run.model.layers[-1]
    optimizers = [torch.optim.SGD(body.parameters(), lr=0.1, momentum=0.9), torch.optim.Adam(head.parameters())]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    average = AveragedModel(run.model)

    def train(steps: int) -> None:
        for _ in range(steps):
            run.optimizer.zero_grad()
            x, y = next(run.data)
            loss = torch.nn.functional.cross_entropy(run.model(x), y)
            scaler.scale(loss).backward()
            guard.step(loss)
            average.update_parameters(run.model)

    def everything() -> dict[str, torch.Tensor]:
        parts = [run.model.state_dict(), average.state_dict(), *map(moments_of, optimizers)]
        scale = {name: torch.tensor(value) for name, value in scaler.state_dict().items()}
        return {f"{i}.{name}": value.clone() for i, part in enumerate([*parts, scale]) for name, value in part.items()}

    with Guard(
        run.model, optimizers, scaler=scaler, state={"average": average}, run_dir=run_dir, checkpoint_every=4
    ) as guard:
        train(3)
        before_update = {name: value.clone() for name, value in average.state_dict().items()}
        train(1)
        expected = everything()
        expected.update({f"1.{name}": value for name, value in before_update.items()})  # updated after guard.step
        monitor.promote(4)
        train(4)
        assert scaler.get_scale() == 4096.0
        monitor.ask(RESTORE)
        run.optimizer.zero_grad()
        scaler.scale(run.model(next(run.data)[0]).sum()).backward()
        guard.step()
        assert_same(everything(), expected)
        assert scaler.get_scale() == 2048.0
    assert guard.errors.keys() <= {"checkpoint.skipped"}


class Keeper:
    """State that is kept as it was handed over, and changed in place."""

    def __init__(self) -> None:
        self.value = torch.zeros(3)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "list": [1]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]
        state["list"].append(2)


def test_a_checkpoint_in_memory_is_lent_to_nobody(run_dir: Path, monitor: Monitor) -> None:
    """What the user's code does with the state it is handed does not reach the checkpoint."""
    run, keeper = Run(), Keeper()
    with Guard(run.model, run.optimizer, run_dir=run_dir, state={"kept": keeper}) as guard:
        monitor.promote(0)
        for _ in range(3):
            monitor.ask(RESTORE)
            run.train(guard)
            assert keeper.value.tolist() == [0, 0, 0]
            keeper.value += 1
    assert [ack.status for ack in monitor.acks()] == ["applied"] * 3


def test_what_the_users_own_state_raises_is_a_failure(run_dir: Path, monitor: Monitor) -> None:
    """It is acknowledged as such; the model is as it was."""

    class Broken(Keeper):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise ArithmeticError("mine")

    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, state={"mine": Broken()}) as guard:
        monitor.promote(0)
        monitor.ask(RESTORE)
        run.backward()
        guard.step()
        assert run.model.layers[0].weight.grad is not None, "the restore was not begun"
    assert (monitor.last_ack().status, monitor.last_ack().reason) == ("failed", "ArithmeticError: mine")


def test_restore_then_scale_lr_in_one_intervention(run_dir: Path, monitor: Monitor) -> None:
    """The restore opens a generation, and the plan goes on in it; factors from before stay in force."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.promote(0)
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 2)
        monitor.ask(RESTORE, ("scale_lr", {"factor": 0.5}))
        run.train(guard, 2)
    _, restore, scale = monitor.acks()
    assert (restore.status, restore.generation, restore.step) == ("applied", 1, 3)
    assert (scale.status, scale.generation, scale.step) == ("applied", 1, 4)
    assert monitor.series("lr") == pytest.approx([0.1, 0.05, 0.05, 0.025])


@PLACES
def test_only_good_ones_older_than_before_step(keep_in_memory: int, run_dir: Path, monitor: Monitor) -> None:
    """A candidate is no place to go back to; nor is one from after the onset."""
    run = Run()
    with Guard(
        run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep=9, keep_in_memory=keep_in_memory * 2
    ) as guard:
        monitor.ask(RESTORE)
        run.train(guard, 7, settled=True)
        monitor.promote(2)
        monitor.promote(4)
        monitor.ask(("restore_checkpoint", {"before_step": 2}))
        run.train(guard)
        monitor.ask(("restore_checkpoint", {"before_step": 4}))
        run.train(guard)
    first, second, third = monitor.acks()
    assert (first.status, first.reason) == ("refused", "there is no good and undamaged checkpoint")
    assert (second.status, second.reason) == (
        "refused",
        "there is no good and undamaged checkpoint older than step 2",
    )
    assert (third.status, third.checkpoint) == ("applied", 2)


def test_a_newer_good_one_on_disk_is_taken_before_an_older_one_in_memory(run_dir: Path, monitor: Monitor) -> None:
    """Memory keeps the newest good one it knows; one that is promoted late may be on disk alone."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep=9, keep_in_memory=2) as guard:
        run.train(guard, 2, settled=True)
        monitor.promote(2)
        run.train(guard, 2, settled=True)
        weights = weights_of(run.model)
        run.train(guard, 2, settled=True)  # 4 has left memory: 2 is good, and 6 the newest
        monitor.promote(4)
        run.train(guard, settled=True)
        shutil.rmtree(run_dir / "checkpoints" / "step-00000002")
        monitor.ask(RESTORE)
        run.train(guard)
        assert_same(run.model.state_dict(), weights)
        shutil.rmtree(run_dir / "checkpoints" / "step-00000004")
        monitor.ask(RESTORE)
        run.train(guard)
    assert [ack.checkpoint for ack in monitor.acks()] == [4, 2]
    assert guard.errors.keys() <= {"checkpoint.skipped"}


def truncate(place: Path) -> None:
    with (place / "state.pt").open("r+b") as file:
        file.truncate(1000)


def flip_a_byte(place: Path) -> None:
    data = bytearray((place / "state.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (place / "state.pt").write_bytes(data)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "truncated": truncate,
    "flipped": flip_a_byte,
    "no state": lambda place: (place / "state.pt").unlink(),
    "no manifest": lambda place: (place / "manifest.json").unlink(),
    "torn manifest": lambda place: (place / "manifest.json").write_text('{"step": 4,'),
    "gone": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_an_older_one(
    damage: str, run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """The next older good one is taken, each time; damage is counted, and said once. What is gone is not missed."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep=9, keep_in_memory=0) as guard:
        run.train(guard, 2, settled=True)
        weights = weights_of(run.model)
        run.train(guard, 2, settled=True)
        monitor.promote(2)
        monitor.promote(4)
        run.train(guard, settled=True)
        DAMAGE[damage](run_dir / "checkpoints" / "step-00000004")
        for _ in range(2):
            monitor.ask(RESTORE)
            run.train(guard)
            assert_same(run.model.state_dict(), weights)
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 2)
    found = damage != "gone"
    assert guard.errors == ({"restore": 2} if found else {})
    assert len(said.messages) == found
    assert not found or "step-00000004" in said.messages[0]


def test_damage_on_disk_does_not_reach_memory(run_dir: Path, monitor: Monitor) -> None:
    """As long as the checkpoint is in memory, its file is not looked at."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2) as guard:
        run.train(guard, 2, settled=True)
        monitor.promote(2)
        run.train(guard, settled=True)
        shutil.rmtree(run_dir / "checkpoints")
        monitor.ask(RESTORE)
        run.train(guard)
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 2)


def test_a_checkpoint_of_another_model_restores_nothing(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """Shapes are compared before the first tensor is written."""
    other = torch.nn.Linear(3, 3)
    with Guard(other, torch.optim.SGD(other.parameters(), lr=1), run_dir=run_dir) as guard:
        monitor.promote(0)
        guard.step()
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=50, keep_in_memory=0) as guard:
        settle(guard)
        shutil.rmtree(run_dir / "checkpoints" / "step-00000000")
        with Guard(other, torch.optim.SGD(other.parameters(), lr=1), run_dir=run_dir.parent / "other") as others:
            settle(others)
            shutil.copytree(run_dir.parent / "other/checkpoints/step-00000000", run_dir / "checkpoints/step-00000000")
        monitor.promote(0, generation=1)
        weights = weights_of(run.model)
        monitor.ask(RESTORE)
        run.backward()
        run.optimizer.zero_grad()
        weights = weights_of(run.model)
        guard.step()
        assert_same(run.model.state_dict(), weights)
    assert monitor.last_ack().status == "refused"
    assert "is None now" in said.messages[0] or "in the checkpoint" in said.messages[0]


def test_nested_optimizer_state_comes_back_too(run_dir: Path) -> None:
    """LBFGS keeps lists of tensors: torch's own way in is taken."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.LBFGS([weight])

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    saved = plain(optimizer.state_dict(), "optimizer")
    saved = torch.load(_stored(saved, run_dir), weights_only=True)
    kept = [direction.clone() for direction in optimizer.state[weight]["old_dirs"]]
    optimizer.step(closure)
    restore_moments(optimizer, saved)
    assert all(map(torch.equal, optimizer.state[weight]["old_dirs"], kept))


def _stored(state: Any, path: Path) -> Path:
    path.mkdir()
    torch.save(state, path / "x.pt")
    return path / "x.pt"


def test_a_process_with_fewer_cuda_devices_takes_back_as_many_as_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and moments are back by then: it is no time to fail."""
    state, taken = rng.capture(), list[Any]()
    states = [torch.full((16,), number, dtype=torch.uint8) for number in range(4)]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", taken.extend)
    rng.restore({**state, "cuda": states})
    assert taken == states[:2]
