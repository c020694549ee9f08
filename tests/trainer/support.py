"""A small real training run, and the monitor's side of its run directory."""

import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainguard import Guard
from trainguard_wire import (
    Ack,
    Action,
    Control,
    Heartbeat,
    Hello,
    Intervention,
    Promotion,
    RunDirectory,
    Sample,
    SegmentWriter,
    Telemetry,
)

NUM_FEATURES, NUM_CLASSES, BATCH = 8, 4, 16


class Net(nn.Module):
    """Small, but with everything that carries state: batch norm buffers and dropout's random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(NUM_FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, NUM_CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Run:
    """A model, its optimizer and its data, made from one seed."""

    def __init__(self, make_optimizer: Callable[[Any], torch.optim.Optimizer] | None = None, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = Net()
        make = make_optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
        self.optimizer = make(self.model.parameters())
        self.data = self._batches()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(7)
        while True:
            x = torch.randn(BATCH, NUM_FEATURES, generator=generator)
            yield x, torch.randint(NUM_CLASSES, (BATCH,), generator=generator)

    def backward(self, num_micro_batches: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """A forward and backward pass, or several that add up: loss, logits, targets of the last."""
        self.optimizer.zero_grad()
        for _ in range(num_micro_batches):
            x, y = next(self.data)
            logits = self.model(x)
            loss = nn.functional.cross_entropy(logits, y)
            loss.backward()
        return loss, logits, y

    def train(
        self, guard: Guard, steps: int = 1, *, scheduler: Any = None, epoch: int | None = None, settled: bool = False
    ) -> None:
        """``settled``: wait for the disk after each step."""
        for _ in range(steps):
            loss, logits, y = self.backward()
            guard.step(loss, logits=logits, targets=y, epoch=epoch)
            if scheduler is not None:
                scheduler.step()
            if settled:
                settle(guard)


class Monitor:
    """What a monitor does to a run directory, as far as a trainer can tell."""

    def __init__(self, path: Path) -> None:
        self.directory = RunDirectory(path)
        self._writer: SegmentWriter | None = None
        self._num_sent = 0

    def send(self, control: Control) -> None:
        if self._writer is None:
            self._writer = self.directory.write_control()
        self._writer.append(control)

    def ask(self, *actions: tuple[str, Mapping[str, Any]], **fields: Any) -> Intervention:
        """Send an intervention of these (kind, params), in the trainer's current generation unless told."""
        self._num_sent += 1
        name = fields.pop("id", f"i{self._num_sent}")
        last = self.records()[-1]
        intervention = Intervention(
            id=name,
            rule="Test",
            step=last.step,
            generation=fields.pop("generation", last.generation),
            expires_step=fields.pop("expires_step", last.step + 100),
            actions=tuple(
                Action(id=f"{name}.{index}", kind=kind, params=dict(params))
                for index, (kind, params) in enumerate(actions)
            ),
        )
        self.send(intervention)
        return intervention

    def promote(self, checkpoint: int, generation: int = 0) -> None:
        self.send(Promotion(checkpoint=checkpoint, step=checkpoint, generation=generation))

    def records(self) -> list[Telemetry]:
        reader = self.directory.read_telemetry()
        records: list[Telemetry] = []
        while more := reader.read():
            records += more
        assert reader.corrupt == 0
        reader.close()
        return records

    def samples(self) -> list[Sample]:
        return [record for record in self.records() if isinstance(record, Sample)]

    def series(self, name: str) -> list[float]:
        return [values[name] for sample in self.samples() if name in (values := sample.all_values())]

    def acks(self) -> list[Ack]:
        return [record for record in self.records() if isinstance(record, Ack)]

    def last_ack(self) -> Ack:
        return self.acks()[-1]

    def hello(self) -> Hello:
        return [record for record in self.records() if isinstance(record, Hello)][-1]

    def last_heartbeat(self) -> Heartbeat:
        return [record for record in self.records() if isinstance(record, Heartbeat)][-1]


def settle(guard: Guard) -> None:
    """Wait until what is on its way to disk is there."""
    checkpointer = guard._stepper._checkpointer
    assert checkpointer is None or checkpointer._writer.flush(30)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Bit for bit, NaN included."""
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=0, equal_nan=True, msg=name)


@contextmanager
def disk_full_beyond(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: writes fail in the kernel, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**20))
    yield
    filler.unlink()


class Far(Tensor):
    """A tensor in host memory that counts as being elsewhere."""

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (Tensor.item, Tensor.__float__, Tensor.__bool__, Tensor.tolist), "a host sync"
        return super().__torch_function__(func, types, args, kwargs)


def far(value: float, **options: Any) -> Tensor:
    return torch.tensor(value, **options).as_subclass(Far)
