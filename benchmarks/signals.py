"""What it costs to measure each signal, beside the training step it is measured in.

    python -m benchmarks.signals

Two models: an MLP of 85,000 parameters in batches of 128, and a small ConvNet on images of 32 x 32 in batches of 64.
They train; in each step one row's signals are due, and what their sensor does is timed in place, hooks included, by
processor time, in one thread. A row's cost is the median over its steps, less that of a sensor that measures nothing,
and its share that of the median plain step: once measured, and at its default cadence spread over the steps between.
Rows of single signals do not add up to their sensor's, which shares what they need.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import process_time_ns
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.activations import Activations, activations_of
from trainguard.signals.base import Sensor, StepView, every
from trainguard.signals.features import Features, source_of
from trainguard.signals.gradients import Gradients
from trainguard.signals.hooks import Hooks
from trainguard.signals.moments import RmsRatio
from trainguard.signals.predictions import BiasConflict, Loss, Predictions
from trainguard.signals.resources import Memory, Time
from trainguard.signals.weights import UpdateRatio, Weights

NUM_CLASSES = 10


class Training:
    """A model that is trained on random data, one batch over and over."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.model = model
        self._x, self._y = x, torch.randint(NUM_CLASSES, x.shape[:1])
        self._groups = torch.randint(NUM_CLASSES, x.shape[:1])
        self._optimizer = torch.optim.AdamW(model.parameters())
        self._num_steps = 0

    def step(self, sensor: Sensor | None = None, due: frozenset[str] = frozenset()) -> tuple[int, int]:
        """The nanoseconds of a step, and those of the sensor that measures in it what is due."""
        self._num_steps += 1
        began = process_time_ns()
        with STOPWATCH:
            if sensor:
                sensor.arm(due)
        self._optimizer.zero_grad()
        logits = self.model(self._x)
        loss = nn.functional.cross_entropy(logits, self._y)
        loss.backward()
        view = StepView(loss, logits, self._y, self._groups, step=self._num_steps, seconds=1.0)
        values: dict[str, Any] = {}
        with torch.no_grad(), STOPWATCH:
            if sensor:
                values |= sensor.before_step(view, due)
        self._optimizer.step()
        with torch.no_grad(), STOPWATCH:
            if sensor:
                values |= sensor.after_step(view, due)
                sensor.disarm()
                values = {name: float(values[name]) for name in due}
        own = STOPWATCH.read()
        return process_time_ns() - began - own, own


class Stopwatch:
    """Adds up the time of blocks that it is put around."""

    def __init__(self) -> None:
        self._total = self._began = 0

    def __enter__(self) -> None:
        self._began = process_time_ns()

    def __exit__(self, *_: object) -> None:
        self._total += process_time_ns() - self._began

    def read(self) -> int:
        """What was added up since the last call."""
        total, self._total = self._total, 0
        return total

    def time(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed in each call."""

        def timed(*arguments: Any) -> Any:
            with self:
                return function(*arguments)

        return timed


STOPWATCH = Stopwatch()


class Nothing(Sensor):
    """Takes the time that the stopwatch itself takes."""

    name = "nothing"
    signals = every()


class Row(NamedTuple):
    label: str
    sensor: Sensor
    due: frozenset[str]

    @property
    def cadence(self) -> int | None:
        """Of its signals, where they have one."""
        cadences = {self.sensor.signals[name] for name in self.due}
        return cadences.pop() if len(cadences) == 1 else None


def mlp() -> Training:
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, NUM_CLASSES)]
    return Training(nn.Sequential(*layers), torch.randn(128, 64))


def convnet() -> Training:
    blocks: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(128 * 16, 128), nn.ReLU(), nn.Linear(128, NUM_CLASSES)]
    return Training(nn.Sequential(*blocks, *head), torch.randn(64, 3, 32, 32))


def rows_of(model: nn.Module, faults: Faults) -> Iterator[Row]:
    source = source_of(model)
    assert source is not None
    sensors = [
        Loss(),
        Gradients(model),
        Predictions(),
        BiasConflict(),
        Activations(model, activations_of(model), faults),
    ]
    sensors += [
        Features(source, False, faults),
        RmsRatio(model),
        UpdateRatio(model),
        Weights(model),
        Time(),
        Memory(model),
    ]
    for sensor in sensors:
        yield Row(sensor.name, sensor, frozenset(sensor.signals))
        if len(sensor.signals) > 1:
            yield from (Row(f"  {name}", sensor, frozenset({name})) for name in sensor.signals)


def measure(training: Training, rows: Sequence[Row], rounds: int) -> tuple[float, list[float]]:
    """The plain step, and what the sensor of each row takes of it, in nanoseconds."""
    rows = [Row("", Nothing(), frozenset()), *rows]
    plain: list[int] = []
    own: list[list[int]] = [[] for _ in rows]
    for index in range(-2, rounds):  # the first two rounds do not count
        for taken, row in zip(own, rows, strict=True):
            step, sensor = training.step(row.sensor, row.due)
            if index >= 0:
                plain.append(step)
                taken.append(sensor)
    nothing, *medians = [median(each) for each in own]
    return median(plain), [each - nothing for each in medians]


def report(name: str, training: Training, rounds: int) -> None:
    faults = Faults()
    rows = list(rows_of(training.model, faults))
    plain, own = measure(training, rows, rounds)
    assert not faults.counts, faults.counts
    print(f"\n{name}: a plain step takes {plain / 1e6:.2f} ms; medians of {rounds} steps\n")
    print(f"{'':26}{'once':>13}{'':>8}{'each':>7}{'per step':>11}")
    for row, nanoseconds in zip(rows, own, strict=True):
        once = f"{row.label:26}{nanoseconds / 1e3:10.0f} us{nanoseconds / plain:8.2%}"
        print(once + (f"{row.cadence:7}{nanoseconds / plain / row.cadence:11.3%}" if row.cadence else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="of the MLP; a tenth of it for the ConvNet")
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    torch.set_num_threads(1)
    Hooks._show = STOPWATCH.time(Hooks._show)  # type: ignore[method-assign]
    report("MLP", mlp(), rounds)
    report("ConvNet", convnet(), max(3, rounds // 10))


if __name__ == "__main__":
    main()
