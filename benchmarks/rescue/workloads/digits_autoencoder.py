"""An autoencoder of handwritten digits, Adam at a constant learning rate: a loss with no classes in it."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training


class DigitsAutoencoder:
    name = "digits_autoencoder"
    tuned = True

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        digits, steps = data.digits(), 800
        images = data.Split(digits.x, digits.x, digits.held_x, digits.held_x)
        model = nn.Sequential(
            *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16)), *(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64))
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        criterion = nn.MSELoss()
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=ConstantLR(optimizer, factor=1.0),
            batches=data.batches(images.x, images.y, 64, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, images, criterion),
            switch=_noisier,
            steps=steps,
        )


def _noisier(x: Tensor, y: Tensor) -> Batch:
    """The scanner's contrast falls by a tenth."""
    return 0.9 * x, 0.9 * y


WORKLOAD = DigitsAutoencoder()
