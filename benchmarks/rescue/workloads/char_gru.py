"""A recurrent network (GRU) that predicts the next character of Python's own help texts, Adam, linear decay."""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Training

LENGTH, WIDTH = 24, 64


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(128, 32)
        self.gru = nn.GRU(32, WIDTH, batch_first=True)
        self.hidden, self.act, self.head = nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 128)

    def forward(self, x: Tensor) -> Tensor:
        z, _ = self.gru(self.embed(x.long()))
        logits: Tensor = self.head(self.act(self.hidden(z)))
        return logits.transpose(1, 2)


class CharGru:
    name = "char_gru"
    tuned = False

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        windows, steps = data.text().unfold(0, LENGTH + 1, 12), 600
        texts = data.Split(windows[300:, :-1], windows[300:, 1:], windows[:300, :-1], windows[:300, 1:])
        model, criterion = Model(), nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LinearLR(optimizer, start_factor=1.0, end_factor=0.2, total_iters=steps),
            batches=data.batches(texts.x, texts.y, 16, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, texts, criterion),
            switch=lambda x, y: (_without_digits(x), _without_digits(y)),
            steps=steps,
        )


def _without_digits(x: Tensor) -> Tensor:
    """From now on every digit is written as 0."""
    return torch.where((x >= 48) & (x <= 57), 48, x)


WORKLOAD = CharGru()
