"""Handwritten digits with the seed's recipe for small heads: SGD at a learning rate of 0.3 after a warm-up."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training


class DigitsMlp:
    name = "digits_mlp"
    tuned = True

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        digits, steps = data.digits(), 900
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3, weight_decay=5e-4)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LambdaLR(optimizer, data.warmup_cosine(steps, warmup=220)),
            batches=data.batches(digits.x, digits.y, 32, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, digits, criterion),
            switch=_shifted,
            steps=steps,
        )


def _shifted(x: Tensor, y: Tensor) -> Batch:
    """The same digits, one pixel to the right in half of the batch."""
    moved = x.view(-1, 8, 8).roll(1, dims=2).reshape(x.shape)
    half = len(x) // 2
    return torch.cat((x[:half], moved[half:])), y


WORKLOAD = DigitsMlp()
