"""What a guard was asked to be: the arguments of `Guard`, checked, in one frozen piece that its parts are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from trainguard.levers.knobs import Knob
from trainguard_wire.journal import Mode

MonitorKind = Literal["process", "embedded"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """See `Guard` for what each means. What may be given as one or several is a tuple here.

    ``sharding``: what of the model is spread over ranks, in words.
    """

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    schedulers: tuple[Any, ...]
    scaler: Any
    run_path: Path
    checkpoint_every: int | None
    keep: int
    keep_in_memory: int
    state: Mapping[str, Any]
    loader: Any
    knobs: Mapping[str, Knob]
    every: Mapping[str, int | None]
    budget: float | None
    activations: tuple[nn.Module, ...]
    features: nn.Module | None
    monitor: MonitorKind
    rules: tuple[str, ...]
    mode: Mode
    lockstep: float | None
    heartbeat_seconds: float
    sharding: str | None = None

    @property
    def exact(self) -> bool:
        """Whether each step is judged at a fixed place, so that nothing may depend on what is ready when."""
        return self.monitor == "embedded" or self.lockstep is not None
