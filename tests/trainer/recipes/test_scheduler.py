"""The schedule against its closed forms, at every epoch and every step, and the scheduler's manners."""

import copy
import io
import math
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, MultiStepLR, SequentialLR

from tests.trainer.support import Run
from trainguard.recipes import LargeLRConfig, LargeLRScheduler, lr_at

STEPS = 7


def optimizer_of(*lrs: float | torch.Tensor, kind: Any = torch.optim.SGD) -> Any:
    return kind([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs or (0.1,)])


def rates(scheduler: Any, num_steps: int) -> Iterator[float]:
    """The learning rate in effect in each of so many steps, as the optimizer sees it."""
    for _ in range(num_steps):
        yield scheduler.optimizer.param_groups[0]["lr"]
        scheduler.optimizer.step()
        scheduler.step()


DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: 1e-5 + 0.5 * (0.3 - 1e-5) * (1 + math.cos(math.pi * (t - 5) / (100 - 5))),
    "step": lambda t: 0.3 * 0.1 ** (0 if t < 30 else 1 if t < 60 else 2 if t < 90 else 3),
    "exponential": lambda t: 0.3 * 0.1 ** ((t - 5) / 95),
    "constant": lambda t: 0.3,
}


def closed_form(decay: str, t: float) -> float:
    """The document's formulas with its numbers, written down once more."""
    return 0.01 + (0.3 - 0.01) * (t / 5) if t < 5 else DECAYS[decay](min(t, 100))


@pytest.mark.parametrize("decay", DECAYS)
def test_every_epoch_is_the_closed_form(decay: str) -> None:
    """And 20 epochs beyond the end."""
    scheduler = LargeLRScheduler(optimizer_of(), LargeLRConfig(decay_type=decay))
    for epoch, lr in enumerate(rates(scheduler, 120)):
        assert lr == pytest.approx(closed_form(decay, epoch), rel=1e-12), epoch


@pytest.mark.parametrize("decay", DECAYS)
def test_every_step_is_the_closed_form(decay: str) -> None:
    """One step is a seventh of an epoch; at whole epochs it is bit for bit the schedule per epoch."""
    config = LargeLRConfig(decay_type=decay)
    per_epoch = list(rates(LargeLRScheduler(optimizer_of(), config), 105))
    per_step = list(rates(LargeLRScheduler(optimizer_of(), config, steps_per_epoch=STEPS), 105 * STEPS))
    for index, lr in enumerate(per_step):
        assert lr == pytest.approx(closed_form(decay, index / STEPS), rel=1e-12), index
    assert per_step[::STEPS] == per_epoch


@pytest.mark.parametrize("steps_per_epoch", [None, 1, 3, 7, 11])
def test_the_ends_of_the_phases_are_exact(steps_per_epoch: int | None) -> None:
    """Start, base and min to the last bit, and min ever after; up all the way, then down all the way."""
    config = LargeLRConfig(base_lr=0.7, min_lr=1.3e-5, warmup_start_lr=0.011, warmup_epochs=3, total_epochs=17)
    per = steps_per_epoch or 1
    seen = list(rates(LargeLRScheduler(optimizer_of(), config, steps_per_epoch=steps_per_epoch), 20 * per))
    assert (seen[0], seen[3 * per], set(seen[17 * per :])) == (0.011, 0.7, {1.3e-5})
    assert all(a < b for a, b in pairwise(seen[: 3 * per + 1]))
    assert all(a > b for a, b in pairwise(seen[3 * per : 17 * per + 1]))


def test_no_warmup_begins_at_the_base() -> None:
    """Epoch 0 is the first of the decay."""
    scheduler = LargeLRScheduler(optimizer_of(), LargeLRConfig(warmup_epochs=0))
    assert (scheduler.get_last_lr(), scheduler.phase) == ([0.3], "decay")


def test_step_and_exponential_are_torchs() -> None:
    """After the warm-up, the values of MultiStepLR, and of ExponentialLR with the 95th root of the factor."""
    theirs = list(rates(MultiStepLR(optimizer_of(0.3), [30, 60, 90], gamma=0.1), 100))
    ours = list(rates(LargeLRScheduler(optimizer_of(), LargeLRConfig(decay_type="step")), 100))
    assert ours[5:] == pytest.approx(theirs[5:], rel=1e-12)
    theirs = list(rates(ExponentialLR(optimizer_of(0.3), 0.1 ** (1 / 95)), 96))
    ours = list(rates(LargeLRScheduler(optimizer_of(), LargeLRConfig(decay_type="exponential")), 101))
    assert ours[5:] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("decay", ["step", "exponential"])
def test_min_lr_is_the_floor_of_every_decay(decay: str) -> None:
    """A factor that would go below it stops there."""
    config = LargeLRConfig(decay_type=decay, decay_factor=1e-6, min_lr=1e-3)
    seen = list(rates(LargeLRScheduler(optimizer_of(), config), 110))
    assert min(seen) == seen[-1] == 1e-3


def test_groups_keep_their_ratio_to_the_first() -> None:
    """A group with a tenth, one with three times as much, one that stands still."""
    optimizer = optimizer_of(0.2, 0.02, 0.6, 0.0)
    scheduler = LargeLRScheduler(optimizer, LargeLRConfig())
    for epoch in range(101):
        lr = closed_form("cosine", epoch)
        assert scheduler.get_last_lr() == pytest.approx([lr, 0.1 * lr, 3 * lr, 0.0], rel=1e-12)
        assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()


def test_a_learning_rate_in_a_tensor_stays_one() -> None:
    """As with ``capturable=True``: the tensor is written into, not replaced."""
    held = torch.tensor(0.1, dtype=torch.float64)
    optimizer = optimizer_of(held, kind=torch.optim.Adam)
    scheduler = LargeLRScheduler(optimizer)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == pytest.approx(closed_form("cosine", 1), rel=1e-12)


def test_disabled_leaves_the_optimizer_alone() -> None:
    """The master switch."""
    scheduler = LargeLRScheduler(optimizer_of(0.123, 0.4), LargeLRConfig(enabled=False))
    assert set(rates(scheduler, 120)) == {0.123}
    assert scheduler.get_last_lr() == [0.123, 0.4]
    scheduler.optimizer.param_groups[0]["lr"] = 0.05  # somebody else's business
    scheduler.step()
    assert [group["lr"] for group in scheduler.optimizer.param_groups] == scheduler.get_last_lr() == [0.05, 0.4]


@pytest.mark.parametrize("at", [0, 1, 4, 5, 6, 50, 99, 100, 130])
@pytest.mark.parametrize("decay", DECAYS)
def test_resumed_anywhere_it_goes_on_exactly(decay: str, at: int) -> None:
    """Bit for bit the rest of the run, from a file that torch reads with ``weights_only=True``."""
    config = LargeLRConfig(decay_type=decay)
    uninterrupted = list(rates(LargeLRScheduler(optimizer_of(), config), 140))
    first, second = (LargeLRScheduler(optimizer_of(), config) for _ in range(2))
    list(rates(first, at))
    file = io.BytesIO()
    torch.save({"scheduler": first.state_dict(), "optimizer": first.optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second.optimizer.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["scheduler"])
    assert list(rates(second, 140 - at)) == uninterrupted[at:]


def test_last_epoch_is_torchs() -> None:
    """Built at epoch 42 of a run that had another scheduler before."""
    optimizer = optimizer_of()
    optimizer.param_groups[0]["initial_lr"] = 0.1
    scheduler = LargeLRScheduler(optimizer, last_epoch=41)
    assert scheduler.get_last_lr() == [lr_at(scheduler.config, 42)]


def test_a_saved_config_wins_and_says_so() -> None:
    """As the saved parameters of torch's schedulers do, but not silently."""
    saved = LargeLRScheduler(optimizer_of(), LargeLRConfig(total_epochs=40, base_lr=0.2)).state_dict()
    scheduler = LargeLRScheduler(optimizer_of(), LargeLRConfig(total_epochs=50))
    with pytest.warns(UserWarning, match="goes on with the saved base_lr, total_epochs, not with the config's"):
        scheduler.load_state_dict(saved)
    assert scheduler.config == LargeLRConfig(total_epochs=40, base_lr=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.load_state_dict(scheduler.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("config"), "it has no config"),
        (lambda state: state["config"].update(base_lr=-1), "base_lr is -1, wanted a number above 0"),
        (lambda state: state["config"].update(more=1), "unexpected keyword argument 'more'"),
    ],
)
def test_what_is_no_state_is_refused(change: Any, message: str) -> None:
    """And changes nothing."""
    scheduler = LargeLRScheduler(optimizer_of())
    before, state = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(scheduler.state_dict())
    change(state)
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before


def test_in_a_sequence_it_counts_from_its_own_beginning() -> None:
    """After another scheduler, and before one."""
    config = LargeLRConfig(warmup_epochs=2, total_epochs=10)
    alone = list(rates(LargeLRScheduler(optimizer_of(), config), 10))

    optimizer = optimizer_of(0.1)
    parts: list[Any] = [ConstantLR(optimizer, factor=0.5, total_iters=100), LargeLRScheduler(optimizer, config)]
    assert list(rates(SequentialLR(optimizer, parts, milestones=[4]), 14)) == [0.05] * 4 + alone

    optimizer = optimizer_of(0.1)
    parts = [LargeLRScheduler(optimizer, config), MultiStepLR(optimizer, [1], gamma=0.5)]
    assert list(rates(SequentialLR(optimizer, parts, milestones=[10]), 12)) == [*alone, 0.1, 0.05]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "optimizer is None, wanted a torch.optim.Optimizer"),
        ((optimizer_of(), {"base_lr": 1}), "config is {'base_lr': 1}, wanted a LargeLRConfig or None"),
        ((optimizer_of(0.0, 0.1),), "the first param group's lr is 0"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    """Named, with what was met and what is wanted."""
    with pytest.raises((TypeError, ValueError), match=message):
        LargeLRScheduler(*arguments)


@pytest.mark.parametrize("steps_per_epoch", [0, -1, 1.5, True])
def test_wrong_steps_per_epoch(steps_per_epoch: Any) -> None:
    """A whole number of at least 1."""
    with pytest.raises((TypeError, ValueError), match=r"steps_per_epoch is .*wanted a whole number of at least 1"):
        LargeLRScheduler(optimizer_of(), steps_per_epoch=steps_per_epoch)


def test_from_the_environment_into_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables, scheduler, and a real optimizer that follows."""
    monkeypatch.setenv("LARGE_LR_BASE", "0.5")
    run = Run()
    scheduler = LargeLRScheduler(run.optimizer, LargeLRConfig.from_environment(), steps_per_epoch=2)
    used = []
    for _ in range(12):
        run.backward()
        used.append(run.optimizer.param_groups[0]["lr"])
        run.optimizer.step()
        scheduler.step()
    assert (used[0], used[10]) == (0.01, 0.5)
