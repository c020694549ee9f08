"""Regression on real patients: a small network with AdamW, on noisy targets."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training


class DiabetesMlp:
    name = "diabetes_mlp"
    tuned = True

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        patients, steps = data.diabetes(), 800
        model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.1)
        criterion = nn.MSELoss()
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LambdaLR(optimizer, data.warmup_cosine(steps, warmup=50)),
            batches=data.batches(patients.x, patients.y, 32, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, patients, criterion),
            switch=_recalibrated,
            steps=steps,
        )


def _recalibrated(x: Tensor, y: Tensor) -> Batch:
    """The instruments read a little higher from now on."""
    return x + 0.3, y


WORKLOAD = DiabetesMlp()
