"""Handwritten digits, a small classifier, and the large-learning-rate recipe for small networks.

The data (1,797 images of 8 x 8) come with scikit-learn.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from trainguard.recipes import SmallHeadRecipe, small_head_recipe

BATCH, TEST_IMAGES, WIDTH, WARMUP_EPOCHS = 32, 360, 256, 5


class Digits(NamedTuple):
    """Images as (n, 64) floats between 0 and 1, labels as (n,) integers."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @classmethod
    def load(cls) -> "Digits":
        images, labels = load_digits(return_X_y=True)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        x = torch.tensor(images, dtype=torch.float32)[order] / 16
        y = torch.tensor(labels)[order]
        return cls(x[TEST_IMAGES:], y[TEST_IMAGES:], x[:TEST_IMAGES], y[:TEST_IMAGES])

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in a fresh order."""
        order = torch.randperm(len(self.x), generator=generator)
        for start in range(0, len(order), BATCH):
            index = order[start : start + BATCH]
            yield self.x[index], self.y[index]


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


def recipe(epochs: int) -> SmallHeadRecipe:
    """With the whole schedule in so many epochs."""
    return small_head_recipe(total_epochs=epochs, warmup_epochs=min(WARMUP_EPOCHS, epochs - 1))


def accuracy(model: nn.Module, data: Digits) -> float:
    """Share of the test images that are classified right."""
    model.eval()
    with torch.no_grad():
        right = int((model(data.test_x).argmax(dim=1) == data.test_y).sum())
    model.train()
    return right / len(data.test_y)
