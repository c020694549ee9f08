"""The search over learning rates, on numbers that can be checked by hand and on a real training."""

import math

import pytest
import torch

from trainguard.recipes import ConfigError, lr_grid_search

LOSSES = {0.01: 1.5, 0.1: 0.5, 0.3: 0.7, 1.0: math.nan, 3.0: 9.0}


def test_best_and_sensitivity_by_hand() -> None:
    """A diverged run counts as an untrained one: (1.5 + 0.5 + 0.7 + 2 + 2) / 5 - 0.5."""
    asked: list[float] = []

    def train(lr: float) -> float:
        asked.append(lr)
        return LOSSES[lr]

    found = lr_grid_search(train, LOSSES, loss_at_init=2.0)
    assert asked == list(LOSSES)
    assert found.best_lr == 0.1
    assert found.sensitivity == pytest.approx(6.7 / 5 - 0.5)
    assert list(found.losses) == asked


def test_nothing_is_claimed_of_what_is_not_known() -> None:
    """No loss at initialization: no sensitivity. No finite loss: no best."""
    assert lr_grid_search(LOSSES.__getitem__, [0.1, 0.3]).sensitivity is None
    diverged = lr_grid_search(lambda lr: math.inf, [0.1, 0.3], loss_at_init=2.0)
    assert (diverged.best_lr, diverged.sensitivity) == (None, None)


def test_a_table_of_it() -> None:
    """A row a learning rate, the best one marked."""
    assert str(lr_grid_search(LOSSES.__getitem__, LOSSES, loss_at_init=2.0)).splitlines() == [
        "      lr      loss",
        "    0.01    1.5000",
        "     0.1    0.5000  best",
        "     0.3    0.7000",
        "       1       nan",
        "       3    9.0000",
        "LR sensitivity 0.8400",
    ]


def test_a_real_search_finds_the_stable_learning_rate() -> None:
    """Gradient descent on x² / 2 from 1: lr 1 is there in one step, above 2 it diverges."""

    def train(lr: float) -> float:
        x = torch.nn.Parameter(torch.ones(()))
        optimizer = torch.optim.SGD([x], lr=lr)
        for _ in range(2000):
            optimizer.zero_grad()
            loss = x**2 / 2
            loss.backward()
            optimizer.step()
        return loss.item()

    found = lr_grid_search(train, [1e-4, 1.0, 3.0], loss_at_init=0.5)
    assert found.best_lr == 1.0
    assert math.isinf(found.losses[3.0]) or math.isnan(found.losses[3.0])
    assert found.sensitivity == pytest.approx((0.5 * (1 - 1e-4) ** (2 * 1999) + 0.0 + 0.5) / 3, rel=1e-3)


def test_a_training_that_raises_comes_out() -> None:
    """A bug is no bad learning rate."""
    with pytest.raises(ZeroDivisionError):
        lr_grid_search(lambda lr: 1 / 0, [0.1])


@pytest.mark.parametrize(
    ("grid", "loss_at_init", "message"),
    [
        ([], None, r"grid is \[\], wanted increasing numbers above 0"),
        ([0.3, 0.1], None, r"grid is \[0.3, 0.1\]"),
        ([0.0, 0.1], None, "grid is"),
        ([0.1], math.nan, "loss_at_init is nan, wanted a finite number"),
    ],
)
def test_wrong_arguments(grid: list[float], loss_at_init: float | None, message: str) -> None:
    """Before anything is trained."""
    with pytest.raises(ConfigError, match=message):
        lr_grid_search(lambda lr: pytest.fail("trained"), grid, loss_at_init=loss_at_init)
