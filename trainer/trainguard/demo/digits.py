"""Handwritten digits with the seed's large-learning-rate recipe for small networks.

SGD; learning rate 0.01 → 0.3 over 5 epochs, then a cosine to 1e-5; gradients clipped at 1.0; weight decay
5e-4; label smoothing 0.1. The data (1,797 images of 8 x 8) come with scikit-learn.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

START_LR, BASE_LR, MIN_LR, WARMUP_EPOCHS = 0.01, 0.3, 1e-5, 5
CLIP_NORM, WEIGHT_DECAY, LABEL_SMOOTHING = 1.0, 5e-4, 0.1
BATCH, TEST_IMAGES, WIDTH = 32, 360, 256


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


def large_lr(epoch: int, epochs: int) -> float:
    """The seed's schedule in closed form, ``epoch`` from 0: a linear warm-up, then a cosine."""
    if epoch < WARMUP_EPOCHS:
        return START_LR + (BASE_LR - START_LR) * epoch / WARMUP_EPOCHS
    progress = (epoch - WARMUP_EPOCHS) / max(1, epochs - WARMUP_EPOCHS)
    return MIN_LR + 0.5 * (BASE_LR - MIN_LR) * (1 + math.cos(math.pi * progress))


def recipe(model: nn.Module, epochs: int) -> tuple[torch.optim.SGD, LambdaLR, nn.CrossEntropyLoss]:
    """Optimizer, scheduler (stepped once an epoch) and criterion."""
    optimizer = torch.optim.SGD(model.parameters(), lr=BASE_LR, weight_decay=WEIGHT_DECAY)
    scheduler = LambdaLR(optimizer, lambda epoch: large_lr(epoch, epochs) / BASE_LR)
    return optimizer, scheduler, nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)


def accuracy(model: nn.Module, data: Digits) -> float:
    """Share of the test images that are classified right."""
    model.eval()
    with torch.no_grad():
        right = int((model(data.test_x).argmax(dim=1) == data.test_y).sum())
    model.train()
    return right / len(data.test_y)
