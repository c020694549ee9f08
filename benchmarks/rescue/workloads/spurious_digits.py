"""Double digits: a bright digit that gives the class, and a dim one beside it that mostly agrees, but not always."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Batch, Training

CORRELATION = 0.97


class SpuriousDigits:
    name = "spurious_digits"
    tuned = False

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        digits, steps = data.digits(), 800
        x, held_x = _doubled(digits.x, digits.y, CORRELATION), _doubled(digits.held_x, digits.held_y, 0.1)
        both = data.Split(x, digits.y, held_x, digits.held_y)
        model = nn.Sequential(nn.Linear(128, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LambdaLR(optimizer, data.warmup_cosine(steps, warmup=100)),
            batches=data.batches(both.x, both.y, 64, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, both, criterion),
            switch=_undimmed,
            steps=steps,
        )


def _doubled(x: Tensor, y: Tensor, correlation: float) -> Tensor:
    """Each image with a dim one on its right: of the same class with this probability, else of any."""
    generator = torch.Generator().manual_seed(0)
    other = torch.randint(len(x), (len(x),), generator=generator)
    same = torch.stack([_another(y, i, generator) for i in range(len(y))])
    agrees = torch.rand(len(x), generator=generator) < correlation
    return torch.cat((x, 0.4 * x[torch.where(agrees, same, other)]), dim=1)


def _another(y: Tensor, i: int, generator: torch.Generator) -> Tensor:
    alike = (y == y[i]).nonzero().flatten()
    return alike[torch.randint(len(alike), (), generator=generator)]


def _undimmed(x: Tensor, y: Tensor) -> Batch:
    """The dim digit is a little brighter from now on."""
    return torch.cat((x[:, :64], 1.25 * x[:, 64:]), dim=1), y


WORKLOAD = SpuriousDigits()
