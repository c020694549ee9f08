"""A small ConvNet with batch norm on 5,000 images of MNIST, SGD with momentum."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training


class MnistConvnet:
    name = "mnist_convnet"
    tuned = False

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        images, steps = data.mnist(), 500
        model = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(144, 10)),
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LambdaLR(optimizer, data.warmup_cosine(steps, warmup=50)),
            batches=data.batches(images.x, images.y, 32, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, images, criterion),
            switch=_faded,
            steps=steps,
        )


def _faded(x: Tensor, y: Tensor) -> Batch:
    """Half of the scans come paler from now on."""
    half = len(x) // 2
    return torch.cat((x[:half], 0.6 * x[half:])), y


WORKLOAD = MnistConvnet()
