"""A transformer of two layers that predicts the next character of Python's own help texts, AdamW.

The benchmark sees the first half of its schedule: what breaks is not mended by the learning rate's going to zero.
"""

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.rescue import data
from benchmarks.rescue.training import Training

LENGTH, WIDTH = 32, 48


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(128, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 128)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x.long()) + self.place.weight
        logits: Tensor = self.head(self.layers(z, mask=self.mask, is_causal=True))
        return logits.transpose(1, 2)


class CharTransformer:
    name = "char_transformer"
    tuned = False

    def make(self, seed: int) -> Training:
        torch.manual_seed(seed)
        windows, steps = data.text().unfold(0, LENGTH + 1, 16), 600
        held = data.Split(windows[400:, :-1], windows[400:, 1:], windows[:400, :-1], windows[:400, 1:])
        model, criterion = Model(), nn.CrossEntropyLoss()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
        return Training(
            model=model,
            optimizer=optimizer,
            scheduler=LambdaLR(optimizer, data.warmup_cosine(2 * steps, warmup=60)),
            batches=data.batches(held.x, held.y, 8, seed),
            criterion=criterion,
            validate=data.held_out_loss(model, held, criterion),
            switch=lambda x, y: (torch.where(_capital(x), x + 32, x), torch.where(_capital(y), y + 32, y)),
            steps=steps,
        )


def _capital(x: Tensor) -> Tensor:
    """From now on everything is written in small letters."""
    return (x >= 65) & (x <= 90)


WORKLOAD = CharTransformer()
