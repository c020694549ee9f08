"""Real processes, each a rank of one training: a scenario is a function that every rank runs."""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tests.support.processes import server
from tests.trainer.support import BATCH, NUM_CLASSES, NUM_FEATURES, Net


class RankRun:
    """A model under DDP with dropout and batch norm, and data that each rank has of its own."""

    def __init__(self, rank: int) -> None:
        torch.manual_seed(0)
        self.model = Net()
        self.ddp: nn.Module = DistributedDataParallel(self.model) if dist.is_initialized() else self.model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.generator = torch.Generator().manual_seed(100 + rank)
        torch.manual_seed(rank)

    def backward(self, factor: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        self.optimizer.zero_grad()
        x = torch.randn(BATCH, NUM_FEATURES, generator=self.generator)
        y = torch.randint(NUM_CLASSES, (BATCH,), generator=self.generator)
        logits = self.ddp(x)
        loss = factor * nn.functional.cross_entropy(logits, y)
        loss.backward()
        return loss, logits, y

    def step(self, guard: Any, factor: float = 1.0, **options: Any) -> None:
        loss, logits, y = self.backward(factor)
        guard.step(loss, logits=logits, targets=y, **options)


class Heard(logging.Handler):
    """What trainguard says in this process, and what is to be done ``then``."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._then = then
        logging.getLogger("trainguard").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._then()


def digest(tensors: Iterable[Tensor]) -> str:
    """The same for the same bits."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(tensor.detach().numpy().tobytes())
    return total.hexdigest()


def on_ranks(scenario: Callable[..., Any], *arguments: Any, size: int = 2, dies: tuple[int, ...] = ()) -> list[Any]:
    """What ``scenario(rank, *arguments)`` returned on each rank; None for one that ``dies``."""
    with tempfile.TemporaryDirectory() as folder:
        pipes = [server.Pipe(duplex=False) for _ in range(size)]
        processes = [
            server.Process(target=_rank, args=(rank, size, folder, pipes[rank][1], scenario, arguments))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for _, sender in pipes:
            sender.close()
        try:
            results = [None if rank in dies else _result(pipes[rank][0]) for rank in range(size)]
            for process in processes:
                process.join(30)
            assert [process.exitcode for process in processes] == [int(rank in dies) for rank in range(size)]
        finally:
            for process in processes:
                process.kill()
    return results


def _result(receiver: Connection) -> Any:
    assert receiver.poll(60), "a rank hangs"
    return receiver.recv()


def _rank(rank: int, size: int, folder: str, sender: Connection, scenario: Any, arguments: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{Path(folder) / 'store'}", rank=rank, world_size=size)
    sender.send(scenario(rank, *arguments))
    dist.destroy_process_group()
