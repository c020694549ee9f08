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

from tests.trainer.support import Monitor, Run, assert_same, weights_of
from trainguard import Guard
from trainguard.checkpoints.training_state import plain, restore_moments

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, amsgrad=True),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.01),
    "tensor lr": lambda parameters: torch.optim.Adam(parameters, lr=torch.tensor(0.01)),
}
RESTORE = ("restore_checkpoint", {"which": "last_good"})


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).clone()
        for index, entry in state.items()
        for name, value in entry.items()
        if value is not None
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_restore_is_exact_and_hyperparameters_go_on(optimizer: str, run_dir: Path, monitor: Monitor) -> None:
    """Weights, buffers, moments and random states as they were, in the same tensors; lr and step go on."""
    run = Run(OPTIMIZERS[optimizer])
    schedule = schedulers.ExponentialLR(run.optimizer, 0.9)
    with Guard(run.model, run.optimizer, scheduler=schedule, run_dir=run_dir, checkpoint_every=4) as guard:
        run.train(guard, 3, scheduler=schedule)
        run.train(guard)
        weights, moments = weights_of(run.model), moments_of(run.optimizer)
        torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()
        schedule.step()
        monitor.promote(4)
        run.train(guard, 2, scheduler=schedule)
        random.random(), np.random.rand()
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
    assert guard.errors == {}


def moments_tensors(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_restore_to_before_the_first_step(optimizer: str, run_dir: Path, monitor: Monitor) -> None:
    """Moments that did not exist yet are gone again, and training goes on as at first."""
    run = Run(OPTIMIZERS[optimizer])
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        weights, moments = weights_of(run.model), moments_of(run.optimizer)
        groups = run.optimizer.param_groups
        lr = groups[0]["lr"]
        monitor.promote(0)
        monitor.ask(RESTORE)
        run.train(guard)
        assert_same(run.model.state_dict(), weights)
        assert_same(moments_of(run.optimizer), moments)
        assert run.optimizer.param_groups is groups
        assert groups[0]["lr"] is lr
        run.train(guard, 2)
    assert guard.errors == {}


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


def test_only_good_ones_older_than_before_step(run_dir: Path, monitor: Monitor) -> None:
    """A candidate is no place to go back to; nor is one from after the onset."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep=9) as guard:
        monitor.ask(RESTORE)
        run.train(guard, 7)
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
    """The next older good one is taken; damage that a checksum finds is said."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, keep=9) as guard:
        run.train(guard, 2)
        weights = weights_of(run.model)
        run.train(guard, 2)
        monitor.promote(2)
        monitor.promote(4)
        run.train(guard)
        DAMAGE[damage](run_dir / "checkpoints" / "step-00000004")
        monitor.ask(RESTORE)
        run.train(guard)
        assert_same(run.model.state_dict(), weights)
    assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", 2)
    assert sum(guard.errors.values()) == len(said.messages) == (damage in ("truncated", "flipped", "no state"))


def test_a_checkpoint_of_another_model_restores_nothing(
    run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """Shapes are compared before the first tensor is written."""
    other = torch.nn.Linear(3, 3)
    with Guard(other, torch.optim.SGD(other.parameters(), lr=1), run_dir=run_dir) as guard:
        monitor.promote(0)
        guard.step()
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=50) as guard:
        shutil.rmtree(run_dir / "checkpoints" / "step-00000000")
        with Guard(other, torch.optim.SGD(other.parameters(), lr=1), run_dir=run_dir.parent / "other"):
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


def test_plain_makes_types_plain() -> None:
    """Subclasses of numbers and containers become what they are underneath."""
    value = plain({"a": np.float64(0.5), "b": [True, (1, None)]}, "x")
    assert value == {"a": 0.5, "b": [True, (1, None)]}
    assert type(value["a"]) is float


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
