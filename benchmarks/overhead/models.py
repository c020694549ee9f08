"""The three trainings that are timed: a small MLP, a small ConvNet, a transformer of about ten million parameters."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

CLASSES, VOCABULARY, LENGTH = 10, 512, 64


class Workload(NamedTuple):
    """``steps`` are the ordinary ones of a block: enough to be timed, few enough to alternate often.

    ``rounds`` are how often all loops take their turn.
    """

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], tuple[Tensor, Tensor]]
    steps: int
    rounds: int


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def convnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 8 * 8, 64), nn.ReLU(), nn.Linear(64, CLASSES)),
    )


class Transformer(nn.Module):
    def __init__(self, width: int = 320, layers: int = 8) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCABULARY, width), nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.embed(x) + self.place.weight))
        return logits


WORKLOADS = (
    Workload("MLP 2x256", mlp, lambda: (torch.randn(512, 64), torch.randint(CLASSES, (512,))), 9, 300),
    Workload("ConvNet 32x32", convnet, lambda: (torch.randn(32, 3, 32, 32), torch.randint(CLASSES, (32,))), 2, 50),
    Workload(
        "transformer 10M",
        Transformer,
        lambda: (torch.randint(VOCABULARY, (16, LENGTH)), torch.randint(VOCABULARY, (16, LENGTH))),
        1,
        8,
    ),
)
