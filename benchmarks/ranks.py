"""What a guard costs in a run of several ranks: ``python -m benchmarks.ranks [--size 2] [--width 512]``.

Processes on this machine train a small network under DistributedDataParallel over gloo. Loops without a guard and with
one take turns in short blocks, and what counts is the median over the blocks of their ratio. Where there are fewer
cores than ranks and their helper threads, everything that has to be woken up looks dear; the last column is what the
thread of the training itself computes for the meeting of the ranks: reducing the last round, launching the next.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainguard import Guard

BLOCK, WARM_UP = 25, 20


class Loop:
    def __init__(self, width: int) -> None:
        torch.manual_seed(0)
        hidden = [nn.Linear(width, width), nn.ReLU()]
        self.model = DistributedDataParallel(
            nn.Sequential(nn.Linear(64, width), nn.ReLU(), *hidden, nn.Linear(width, 10))
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.guard: Guard | None = None
        self.x, self.y = torch.randn(32, 64), torch.randint(10, (32,))

    def block(self, steps: int = BLOCK) -> float:
        """Seconds for each step."""
        began = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad()
            logits = self.model(self.x)
            loss = nn.functional.cross_entropy(logits, self.y)
            loss.backward()
            if self.guard is None:
                self.optimizer.step()
            else:
                self.guard.step(loss, logits=logits, targets=self.y)
        return (time.perf_counter() - began) / steps


def timed(owner: Any, name: str, spent: list[float]) -> None:
    """Have the processor time of a method counted."""
    method = getattr(owner, name)

    def counted() -> None:
        began = time.thread_time()
        method()
        spent.append(time.thread_time() - began)

    setattr(owner, name, counted)


def measure(rank: int, size: int, width: int, blocks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    bare, guarded = Loop(width), Loop(width)
    guard = guarded.guard = Guard(guarded.model, guarded.optimizer, run_dir=Path(folder) / "run", checkpoint_every=None)
    bare.block(WARM_UP)
    guarded.block(WARM_UP)
    meetings, launches = list[float](), list[float]()
    timed(guard._stepper._ranks, "meet", meetings)
    timed(guard._stepper._ranks, "launch", launches)
    pairs = [(bare.block(), guarded.block()) for _ in range(blocks)]
    guard.close()
    if rank == 0:
        step, ratio = median(pair[0] for pair in pairs), median(after / before for before, after in pairs)
        own = 1e6 * (sum(meetings) + sum(launches)) / (blocks * BLOCK)
        print(f"| {size} | {1e3 * step:.2f} ms | {ratio:.3f} | {own:.0f} µs |", flush=True)
    dist.destroy_process_group()
    os._exit(0)  # torch's gloo threads abort a process at its end now and then, without a guard, too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2, help="ranks")
    parser.add_argument("--width", type=int, default=512, help="of the network's layers")
    parser.add_argument("--blocks", type=int, default=30, help="of each loop")
    options = parser.parse_args()
    print("| ranks | bare step | guarded / bare | meeting, processor time |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(measure, (options.size, options.width, options.blocks, folder), nprocs=options.size)


if __name__ == "__main__":
    main()
