"""Which learning rate? Train with each of a grid, and say how much the choice matters.

LR sensitivity (Wortsman et al., arXiv 2309.14322) is the mean over the grid of min(loss, loss at initialization),
less the best loss: 0 where every learning rate does as well as the best, and a diverged run counts as an untrained one.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trainguard.recipes.config import checked
from trainguard.recipes.fields import FINITE, RATES


@dataclass(frozen=True)
class GridSearch:
    """The final loss of each learning rate, in the order of the grid. Prints as a table."""

    losses: dict[float, float]
    loss_at_init: float | None

    @property
    def best_lr(self) -> float | None:
        """The learning rate with the lowest loss, the smallest of equals; None where no loss is finite."""
        finite = {lr: loss for lr, loss in self.losses.items() if math.isfinite(loss)}
        return min(finite, key=finite.__getitem__) if finite else None

    @property
    def sensitivity(self) -> float | None:
        """In the unit of the loss, at least 0; None where the loss at initialization or every loss is not known."""
        if self.best_lr is None or self.loss_at_init is None:
            return None
        ceiling = self.loss_at_init
        capped = [min(loss, ceiling) if math.isfinite(loss) else ceiling for loss in self.losses.values()]
        return sum(capped) / len(capped) - min(capped)

    def __str__(self) -> str:
        rows = [f"{lr:8g}  {loss:8.4f}{'  best' if lr == self.best_lr else ''}" for lr, loss in self.losses.items()]
        last = [] if self.sensitivity is None else [f"LR sensitivity {self.sensitivity:.4f}"]
        return "\n".join(["      lr      loss", *rows, *last])


def lr_grid_search(
    train: Callable[[float], float], grid: Iterable[float], *, loss_at_init: float | None = None
) -> GridSearch:
    """Call ``train(lr)`` for each learning rate of ``grid``, in order; it gives back the final loss.

    ``train`` makes its own model, so that each begins from the same weights; a loss that is not finite means that
    it diverged. ``loss_at_init`` is the loss of the untrained model. What ``train`` raises comes out. Raises
    `ConfigError` for a grid that is empty, not increasing or not above 0, and for a ``loss_at_init`` that is no
    finite number.
    """
    rates = checked("grid", list(grid), RATES)
    if loss_at_init is not None:
        loss_at_init = checked("loss_at_init", loss_at_init, FINITE)
    return GridSearch({lr: float(train(lr)) for lr in rates}, loss_at_init)
