"""Train healthy runs of many kinds for real, and record what each said on the way.

Loss, gradient norm before clipping and learning rate, step by step, as gzipped telemetry with six significant
digits, into ``tests/rules/data/healthy``: there the shipped packs are held against them, since a pack that is safe
to switch on leaves every healthy run alone. Small models, the data that come with scikit-learn, a plain torch loop,
fixed seeds, one thread; in about a minute:

    python -P benchmarks/record_healthy.py [name ...]
"""

import gzip
import io
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F

from trainguard_wire import encode, sample_of

FOLDER = Path(__file__).parent.parent / "tests" / "rules" / "data" / "healthy"

Schedule = Callable[[int], float]
Loss = Callable[[nn.Module, int], Tensor]
Score = Callable[[Tensor, Tensor], Tensor]
Change = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """One run: what is trained on what, and how."""

    name: str
    model: Callable[[], nn.Module]
    loss: Callable[[], Loss]
    lr: Schedule
    optimizer: str = "sgd"
    steps: int = 1200
    clip: float = math.inf
    seed: int = 0


def constant(lr: float) -> Schedule:
    return lambda step: lr


def cosine(lr: float, steps: int, warmup: int = 0, least: float = 0.0) -> Schedule:
    def at(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        return least + (lr - least) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return at


def restarts(lr: float, period: int, warmup: int = 0) -> Schedule:
    one = cosine(lr, period, warmup, least=lr / 1000)
    return lambda step: one(step % period)


def mlp(*widths: int, dropout: float = 0.0, norm: bool = False) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for n, m in pairwise(widths[:-1]):
            layers += [nn.Linear(n, m), *[nn.BatchNorm1d(m)] * norm, nn.ReLU(), *[nn.Dropout(dropout)] * (dropout > 0)]
        return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    return build


class CharLM(nn.Module):
    """A transformer of one layer over characters."""

    def __init__(self, vocabulary: int = 128, width: int = 48, length: int = 48) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.block = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(width, vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, x: Tensor) -> Tensor:
        x = self.token(x) + self.place.weight
        return self.head(self.block(x, src_mask=self.mask, is_causal=True))  # type: ignore[no-any-return]


def table(name: str, rows: int = 2000) -> tuple[Tensor, Tensor]:
    """A data set of scikit-learn, features standardized."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    features, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    features = (features - features.mean(0)) / (features.std(0) + 1e-3)
    order = torch.randperm(len(features))[:rows]
    return features[order], targets[order]


def batches(rows: int, batch: int) -> Iterator[Tensor]:
    """Indices, epoch after epoch in a fresh order; an incomplete batch at the end is dropped."""
    while True:
        order = torch.randperm(rows) if batch < rows else torch.arange(rows)
        yield from torch.split(order, batch)[: max(1, rows // batch)]


def classify(
    batch: int, change: Change | None = None, name: str = "digits", rows: int = 2000, score: Score = F.cross_entropy
) -> Callable[[], Loss]:
    """Classification; ``change`` does something to a batch."""

    def build() -> Loss:
        x, y = table(name, rows)
        indices = batches(len(x), batch)

        def loss(model: nn.Module, step: int) -> Tensor:
            index = next(indices)
            bx, by = change(x[index], y[index], step) if change else (x[index], y[index])
            return score(model(bx), by)

        return loss

    return build


def fit(name: str, batch: int, distance: Score, scale: float = 1.0) -> Callable[[], Loss]:
    """Regression; of images, on themselves."""

    def build() -> Loss:
        x, y = table(name)
        targets = x if name == "digits" else scale * y.float().reshape(len(y), -1)
        indices = batches(len(x), batch)

        def loss(model: nn.Module, step: int) -> Tensor:
            index = next(indices)
            return distance(model(x[index]), targets[index])

        return loss

    return build


def flipped(share: float, after: int = 0, late: float | None = None) -> Change:
    """Labels at random for a share of the rows, another share from step ``after`` on."""

    def change(x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        bad = torch.rand(len(y)) < (share if late is None or step < after else late)
        return x, torch.where(bad, torch.randint(0, 10, y.shape), y)

    return change


def heavy(x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
    return x + 0.3 * torch.distributions.StudentT(2.0).sample(x.shape), y


def harder(x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
    return x + min(1.0, step / 800) * torch.randn(x.shape), y


def domains(early: float, late: float, at: int) -> Change:
    """Two domains, plain rows and noisy ones, whose mix changes from one step to the next."""

    def change(x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        noisy = (torch.rand(len(x), 1) < (early if step < at else late)).float()
        return x + noisy * 1.5 * torch.randn(x.shape), y

    return change


def likelihood(out: Tensor, y: Tensor) -> Tensor:
    """Gaussian, mean and log variance learned: below zero when the fit is good."""
    return 0.5 * (out[:, 1:] + (y - out[:, :1]) ** 2 * torch.exp(-out[:, 1:])).mean()


def asymmetric(out: Tensor, y: Tensor) -> Tensor:
    """Squared distance of 30 times the label from the prediction: a large constant with little on top."""
    return ((30 * F.one_hot(y, 10) - F.softmax(out, 1)) ** 2).sum(1).mean() / 10


def stopping() -> Loss:
    """Deep optimal stopping of an American put on fresh paths, one date: minus the mean reward."""

    def loss(model: nn.Module, step: int) -> Tensor:
        now = 40 * torch.exp(0.2 * torch.randn(256, 1) - 0.02)
        later = now * torch.exp(0.2 * torch.randn(256, 1) - 0.02)
        stop = torch.sigmoid(model(now / 40 - 1))
        return -(stop * F.relu(40 - now) + (1 - stop) * 0.94 * F.relu(40 - later)).mean()

    return loss


def text(late: float = 0.0) -> Callable[[], Loss]:
    """Next character, in the descriptions that come with scikit-learn; ``late`` is the share of a second corpus."""

    def build() -> Loss:
        first = "".join(getattr(datasets, f"load_{n}")().DESCR for n in ("diabetes", "wine", "breast_cancer"))
        second = Path(datasets.__file__).read_text(encoding="utf-8")
        corpora = [torch.tensor([min(ord(c), 127) for c in corpus]) for corpus in (first, second)]

        def loss(model: nn.Module, step: int) -> Tensor:
            chosen = [corpora[int(step >= 600 and torch.rand(()) < late)] for _ in range(8)]
            starts = [int(torch.randint(0, len(corpus) - 49, ())) for corpus in chosen]
            batch = torch.stack([corpus[at : at + 49] for corpus, at in zip(chosen, starts, strict=True)])
            return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

        return loss

    return build


DIGITS = mlp(64, 64, 64, 10)
SMOOTH, RARE = nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(weight=torch.tensor([1.0] * 9 + [50.0]))
OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, weight_decay=5e-4),
    "momentum": lambda parameters: torch.optim.SGD(parameters, momentum=0.9, weight_decay=5e-4),
    "adamw": torch.optim.AdamW,
}
RECIPES = (
    Recipe("large_lr", DIGITS, classify(32, score=SMOOTH), cosine(0.3, 1200, 225), clip=1.0),
    Recipe("small_batch", DIGITS, classify(4), constant(0.02)),
    Recipe("batch_of_one", DIGITS, classify(1), constant(0.005), steps=1500),
    Recipe("large_batch", DIGITS, classify(512), constant(0.2)),
    Recipe("full_batch", DIGITS, classify(2000), constant(0.1), steps=800),
    Recipe("edge_of_stability", DIGITS, classify(2000), constant(0.8), steps=800, seed=1),
    Recipe("momentum_steps", DIGITS, classify(64), lambda step: 0.1 * 0.1 ** (step // 400), "momentum"),
    Recipe("momentum_weight_decay", DIGITS, classify(32), constant(0.05), "momentum", clip=1.0),
    Recipe("adamw_cosine", DIGITS, classify(64), cosine(3e-3, 1200, 100), "adamw", clip=1.0),
    Recipe("adamw_constant", DIGITS, classify(32), constant(5e-3), "adamw"),
    Recipe("adamw_small_batch", DIGITS, classify(2), cosine(1e-3, 1200, 50), "adamw"),
    Recipe("long_warmup", DIGITS, classify(32), cosine(0.5, 1200, 600), clip=1.0),
    Recipe("restarts_sgd", DIGITS, classify(32), restarts(0.3, 300), steps=1500),
    Recipe("restarts_noisy", DIGITS, classify(16, flipped(0.2)), restarts(0.2, 300), steps=1500),
    Recipe("restarts_adamw", DIGITS, classify(64), restarts(5e-3, 400, 40), "adamw", steps=1600),
    Recipe("label_noise", DIGITS, classify(32, flipped(0.4)), constant(0.1)),
    Recipe("heavy_tailed_inputs", DIGITS, classify(16, heavy), constant(0.02)),
    Recipe("rare_class", DIGITS, classify(16, score=RARE), constant(0.05), clip=5.0),
    Recipe("curriculum", DIGITS, classify(32, harder), constant(0.1)),
    Recipe("mix_switch", DIGITS, classify(64, domains(0.3, 0.4, 700)), constant(0.1)),
    Recipe("mix_switch_down", DIGITS, classify(32, domains(0.8, 0.1, 600)), cosine(2e-3, 1200), "adamw"),
    Recipe("label_noise_rises", DIGITS, classify(64, flipped(0.2, 600, 0.3)), constant(0.1)),
    Recipe("dropout", mlp(64, 128, 128, 10, dropout=0.5), classify(16), constant(0.05)),
    Recipe("batch_norm", mlp(64, 64, 64, 10, norm=True), classify(32), cosine(0.2, 1200), "momentum"),
    Recipe("tiny_overfit", mlp(64, 128, 10), classify(8, rows=32), constant(0.1), steps=1500),
    Recipe("tiny_overfit_adam", mlp(13, 64, 3), classify(16, name="wine"), constant(1e-2), "adamw", steps=1500),
    Recipe("iris", mlp(4, 16, 3), classify(5, name="iris"), constant(0.05), steps=1500),
    Recipe("cancer", mlp(30, 32, 2), classify(8, name="breast_cancer"), constant(0.02), steps=1500),
    Recipe("regression", mlp(10, 32, 1), fit("diabetes", 16, F.mse_loss), constant(1e-2), "adamw", steps=1500),
    Recipe("regression_l1", mlp(10, 32, 1), fit("diabetes", 32, F.l1_loss, 0.01), constant(0.02), "momentum"),
    Recipe("three_targets", mlp(3, 16, 3), fit("linnerud", 5, F.huber_loss, 0.1), constant(0.01)),
    Recipe("autoencoder", mlp(64, 16, 64), fit("digits", 32, F.mse_loss), constant(2e-3), "adamw"),
    Recipe("likelihood", mlp(10, 64, 64, 2), fit("diabetes", 64, likelihood, 0.01), constant(1e-3), "adamw", 1500),
    Recipe("optimal_stopping", mlp(1, 32, 32, 1), stopping, constant(1e-2), "adamw"),
    Recipe("offset", DIGITS, classify(32, score=asymmetric), constant(0.02), clip=1.0),
    Recipe("char_lm", CharLM, text(), cosine(3e-3, 1200, 100), "adamw", clip=1.0),
    Recipe("char_lm_mix_switch", CharLM, text(0.5), cosine(3e-3, 1200, 100), "adamw", clip=1.0),
)


def train(recipe: Recipe) -> Iterator[dict[str, float]]:
    """The run, one step at a time."""
    torch.manual_seed(recipe.seed)
    model, loss_of = recipe.model(), recipe.loss()
    optimizer = OPTIMIZERS[recipe.optimizer](model.parameters())
    for step in range(recipe.steps):
        lr = recipe.lr(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        yield {"loss": loss.item(), "grad_norm": norm.item(), "lr": lr}


def record(recipe: Recipe) -> bytes:
    """The telemetry of a run, compressed; the same bytes each time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        for step, values in enumerate(train(recipe), start=1):
            rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
            file.write(encode(sample_of(rounded, step=step, generation=0, time=float(step))))
    return buffer.getvalue()


def main() -> None:
    torch.set_num_threads(1)
    for recipe in RECIPES:
        if sys.argv[1:] and recipe.name not in sys.argv[1:]:
            continue
        data = record(recipe)
        (FOLDER / f"{recipe.name}.jsonl.gz").write_bytes(data)
        print(f"{recipe.name:24} {len(data):7} bytes", flush=True)


if __name__ == "__main__":
    main()
