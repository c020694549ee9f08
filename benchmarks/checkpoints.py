"""What a checkpoint costs the step. Run: python -m benchmarks.checkpoints

Two trainings with AdamW and a guard that saves every few steps. Side by side in one process: how much longer
``guard.step`` takes where it saves a checkpoint (a copy in memory, handed to a thread), what a plain ``torch.save``
of the same state takes, and how long whole steps take while the thread writes and while it does not. Medians, and
the worst of all.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trainguard import Guard

CHECKPOINTS, SKIPPED = 24, 4  # the first few fill memory that was never touched


def mlp() -> tuple[nn.Module, Callable[[], Tensor]]:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)), (
        lambda: torch.randn(128, 64)
    )


def transformer() -> tuple[nn.Module, Callable[[], Tensor]]:
    layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return nn.TransformerEncoder(layer, 12, enable_nested_tensor=False), lambda: torch.randn(4, 32, 256)


def measure(make: Callable[[], tuple[nn.Module, Callable[[], Tensor]]], every: int, folder: Path) -> None:
    torch.manual_seed(0)
    model, batch = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    plain: list[float] = []
    guard_step: dict[bool, list[float]] = {False: [], True: []}
    steps: dict[bool, list[float]] = {False: [], True: []}
    with Guard(model, optimizer, run_dir=folder / "run", checkpoint_every=every) as guard:
        for step in range(1, CHECKPOINTS * every + 1):
            writing = any(folder.glob("run/checkpoints/*.tmp"))
            began = time.perf_counter()
            optimizer.zero_grad()
            loss = model(batch()).square().mean()
            loss.backward()
            called = time.perf_counter()
            guard.step(loss)
            guard_step[step % every == 0].append(time.perf_counter() - called)
            if step % every:
                steps[writing].append(time.perf_counter() - began)
            if step % every == every - 1:
                began = time.perf_counter()
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "plain.pt")
                plain.append(time.perf_counter() - began)
    size = os.path.getsize(folder / "plain.pt")
    print(f"{make.__name__}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters, {size / 1e6:.1f} MB")
    usual = statistics.median(guard_step[False])
    paid = [seconds - usual for seconds in guard_step[True][SKIPPED:]]
    tell("the step pays", paid)
    tell("torch.save", plain[SKIPPED:])
    print(f"  ratio               {statistics.median(plain[SKIPPED:]) / statistics.median(paid):9.1f}")
    tell("a step", steps[False])
    if steps[True]:
        tell("a step meanwhile", steps[True])
    print(f"  errors              {guard.errors}\n")


def tell(what: str, seconds: list[float]) -> None:
    middle, worst = statistics.median(seconds) * 1e3, max(seconds) * 1e3
    print(f"  {what:18s}  {middle:9.3f} ms, at most {worst:.3f} ms ({len(seconds)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder by default")
    arguments = parser.parse_args()
    for make, every in ((mlp, 100), (transformer, 8)):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure(make, every, Path(folder))


if __name__ == "__main__":
    main()
