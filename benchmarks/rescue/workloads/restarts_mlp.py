"""MNIST with AdamW, dropout and a learning rate that restarts: a schedule that lifts the loss by itself."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training


class RestartsMlp:
    name = "restarts_mlp"
    tuned = False

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        images, steps = data.mnist(), 800
        model = nn.Sequential(
            *(nn.Flatten(), nn.Linear(196, 96), nn.ReLU(), nn.Dropout(0.1)),
            *(nn.Linear(96, 96), nn.ReLU(), nn.Dropout(0.1), nn.Linear(96, 10)),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=CosineAnnealingWarmRestarts(optimizer, T_0=200, eta_min=3e-5),
            batches=data.batches(images.x, images.y, 64, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, images, criterion),
            switch=_tilted,
            steps=steps,
        )


def _tilted(x: Tensor, y: Tensor) -> Batch:
    """Half of the images move up by a pixel."""
    half = len(x) // 2
    return torch.cat((x[:half], x[half:].roll(-1, dims=2))), y


WORKLOAD = RestartsMlp()
