"""The arguments of `Guard`, checked: the only errors of ours that reach the user, before training begins."""

import operator
import os
import sys
import time
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

RUNS_VARIABLE = "TRAINGUARD_RUNS"


def check_parts(model: Any, optimizer: Any, scheduler: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {_met(model)}, wanted a torch.nn.Module")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {_met(optimizer)}, wanted a torch.optim.Optimizer")
    if scheduler is not None and not callable(getattr(scheduler, "state_dict", None)):
        raise TypeError(f"scheduler is {_met(scheduler)}, wanted a learning rate scheduler or None")


def check_count(name: str, value: Any) -> None:
    """A whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {_met(value)}, wanted a whole number of at least 1")
    if value < 1:
        raise ValueError(f"{name} is {value}, wanted a whole number of at least 1")


def check_seconds(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is {_met(value)}, wanted a number of seconds above 0")
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}, wanted a number of seconds above 0")


def check_cadences(every: Any, signals: tuple[str, ...]) -> dict[str, int | None]:
    """``every=``: signal name to steps between two measurements, or None for never."""
    if every is None:
        return {}
    if not isinstance(every, Mapping):
        raise TypeError(f"every is {_met(every)}, wanted a mapping from signal names to steps")
    for name, steps in every.items():
        if name not in signals:
            raise ValueError(f"every has {name!r}, wanted a signal of this run: {', '.join(signals)}")
        if steps is not None:
            check_count(f"every[{name!r}]", steps)
    return dict(every)


def check_modules(activations: Any) -> tuple[nn.Module, ...]:
    if not isinstance(activations, Iterable):
        raise TypeError(f"activations is {_met(activations)}, wanted an iterable of modules")
    modules = tuple(activations)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"activations holds {_met(module)}, wanted torch.nn.Modules only")
    return modules


def whole_epoch(epoch: Any) -> int:
    value = operator.index(epoch)
    if value < 0:
        raise ValueError(f"epoch is {value}, wanted a whole number of at least 0")
    return value


def run_path(run_dir: Any, now: float) -> Path:
    """The run directory; by default ``$TRAINGUARD_RUNS/<script>-<time>-<pid>``."""
    if run_dir is None:
        script = Path(sys.argv[0] if sys.argv else "").stem.strip("-") or "python"
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        return Path(os.environ.get(RUNS_VARIABLE) or "runs") / f"{script}-{stamp}-{os.getpid()}"
    if not isinstance(run_dir, str | os.PathLike):
        raise TypeError(f"run_dir is {_met(run_dir)}, wanted a path or None")
    if run_dir == "":
        raise ValueError("run_dir is '', wanted a path or None")
    return Path(run_dir)


def _met(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"
