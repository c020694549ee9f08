"""The arguments of `Guard`, checked: the only errors of ours that reach the user, before training begins."""

import operator
import os
import sys
import time
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from torch import nn
from torch.optim import Optimizer

from trainguard.faults import describe, met
from trainguard.levers.knobs import Knob
from trainguard.ranks.replicas import sharding_of
from trainguard.ranks.world import num_ranks
from trainguard.settings import Settings
from trainguard.signals.activations import activations_of
from trainguard_wire.journal import Mode

RUNS_VARIABLE = "TRAINGUARD_RUNS"


def settings(
    model: Any,
    optimizer: Any,
    *,
    scheduler: Any,
    scaler: Any,
    run_dir: Any,
    checkpoint_every: Any,
    keep: Any,
    keep_in_memory: Any,
    state: Any,
    loader: Any,
    knobs: Any,
    every: Any,
    budget: Any,
    activations: Any,
    features: Any,
    monitor: Any,
    rules: Any,
    mode: Any,
    lockstep: Any,
    heartbeat_seconds: Any,
) -> Settings:
    """The arguments of `Guard` as `Settings`. Raises TypeError and ValueError."""
    check_kind("model", model, nn.Module, "a torch.nn.Module")
    if features is not None:
        check_kind("features", features, nn.Module, "a torch.nn.Module or None")
    if checkpoint_every is not None:
        check_count("checkpoint_every", checkpoint_every)
    check_count("keep", keep)
    check_count("keep_in_memory", keep_in_memory, at_least=0)
    check_seconds("heartbeat_seconds", heartbeat_seconds)
    if scaler is not None:
        check_stateful("scaler", scaler)
    if loader is not None:
        check_stateful("loader", loader)
    check_choice("monitor", monitor, ("process", "embedded"))
    return Settings(
        model=model,
        optimizers=optimizers_of(optimizer),
        schedulers=schedulers_of(scheduler),
        scaler=scaler,
        run_path=run_path(run_dir, time.time()),
        checkpoint_every=checkpoint_every,
        keep=keep,
        keep_in_memory=keep_in_memory,
        state=check_states(state),
        loader=loader,
        knobs=check_knobs(knobs),
        every=check_mapping("every", every, "signal names to steps"),
        budget=check_budget(budget),
        activations=activations_of(model) if activations is None else check_modules(activations),
        features=features,
        monitor=monitor,
        rules=rules_of(rules, monitor),
        mode=mode_of(mode, monitor),
        lockstep=check_lockstep(lockstep, monitor),
        heartbeat_seconds=heartbeat_seconds,
        sharding=sharding_of(model) if num_ranks() > 1 else None,
    )


def optimizers_of(optimizer: Any) -> tuple[Optimizer, ...]:
    found = tuple(optimizer) if isinstance(optimizer, list | tuple) else (optimizer,)
    for each in found:
        check_kind("optimizer", each, Optimizer, "a torch.optim.Optimizer, or a list of them")
    if not found:
        raise ValueError("optimizer is an empty list, wanted at least one torch.optim.Optimizer")
    return found


def schedulers_of(scheduler: Any) -> tuple[Any, ...]:
    found = tuple(scheduler) if isinstance(scheduler, list | tuple) else (scheduler,)
    for each in found:
        if each is not None and not callable(getattr(each, "state_dict", None)):
            raise TypeError(f"scheduler is {met(each)}, wanted a learning rate scheduler, a list of them, or None")
    return tuple(each for each in found if each is not None)


def rules_of(rules: Any, monitor: str) -> tuple[str, ...]:
    """Rule files and names of packs; none for a monitor process, which has its own."""
    if rules is None:
        return ("stability",) if monitor == "embedded" else ()
    if monitor != "embedded":
        raise ValueError(f"rules is {rules!r:.60}, wanted None: a monitor process is started with its own rules")
    found = tuple(rules) if isinstance(rules, list | tuple) else (rules,)
    for each in found:
        check_kind("rules", each, str | os.PathLike, "a pack's name, a path, or a list of them")
    if not found:
        raise ValueError("rules is an empty list, wanted a pack's name, a path, or a list of them")
    return tuple(os.fspath(each) for each in found)


def mode_of(mode: Any, monitor: str) -> Mode:
    """The most that a rule of the embedded monitor may do; a monitor process has its own."""
    if mode is None:
        return "act"
    if monitor != "embedded":
        raise ValueError(f"mode is {mode!r:.60}, wanted None: a monitor process is started with its own (--mode)")
    check_choice("mode", mode, get_args(Mode))
    found: Mode = mode
    return found


def check_lockstep(lockstep: Any, monitor: str) -> float | None:
    if lockstep is None:
        return None
    check_seconds("lockstep", lockstep)
    if monitor == "embedded":
        raise ValueError(f"lockstep is {lockstep}, wanted None: an embedded monitor judges each step in that step")
    return float(lockstep)


def check_states(state: Any) -> dict[str, Any]:
    """``state=``: name to what has ``state_dict`` and ``load_state_dict``."""
    states = check_mapping("state", state, "names to objects with state_dict and load_state_dict")
    for name, each in states.items():
        check_stateful(f"state[{name!r}]", each)
    return states


def check_knobs(knobs: Any) -> dict[str, Knob]:
    """``knobs=``: names that expressions can use, and knobs that can be read and stand within their bounds."""
    found = check_mapping("knobs", knobs, "names to knobs")
    for name, knob in found.items():
        if not (name.isidentifier() and name.isascii()):
            raise ValueError(f"a key of knobs is {name!r}, wanted letters, digits and '_', not beginning with a digit")
        check_kind(f"knobs[{name!r}]", knob, Knob, "a trainguard.Knob")
        try:
            value = knob.value
        except Exception as error:
            raise ValueError(f"knobs[{name!r}] cannot be read: {describe(error)}") from error
        if not knob.min <= value <= knob.max:
            raise ValueError(f"knobs[{name!r}] is at {value:g}, wanted between {knob.min:g} and {knob.max:g}")
    return found


def check_stateful(name: str, value: Any) -> None:
    if not all(callable(getattr(value, method, None)) for method in ("state_dict", "load_state_dict")):
        raise TypeError(f"{name} is {met(value)}, wanted an object with state_dict and load_state_dict")


def check_mapping(name: str, value: Any, wanted: str) -> dict[str, Any]:
    if value is None:
        return {}
    check_kind(name, value, Mapping, f"a mapping from {wanted}")
    for key in value:
        check_kind(f"a key of {name}", key, str, "a string")
    return dict(value)


def check_kind(name: str, value: Any, kind: Any, wanted: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {met(value)}, wanted {wanted}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r:.60}, wanted {' or '.join(map(repr, choices))}")


def check_budget(value: Any) -> float | None:
    """A share of the step's time, above 0 and below 1; None for no budget."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"budget is {met(value)}, wanted a share of the step's time, above 0 and below 1, or None")
    if not 0 < value < 1:
        raise ValueError(f"budget is {value}, wanted a share of the step's time, above 0 and below 1, or None")
    return float(value)


def check_count(name: str, value: Any, *, at_least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {met(value)}, wanted a whole number of at least {at_least}")
    if value < at_least:
        raise ValueError(f"{name} is {value}, wanted a whole number of at least {at_least}")


def check_seconds(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is {met(value)}, wanted a number of seconds above 0")
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}, wanted a number of seconds above 0")


def check_cadences(every: Mapping[str, Any], signals: tuple[str, ...]) -> dict[str, int | None]:
    """``every=``: signal name to steps between two measurements, or None for never."""
    for name, steps in every.items():
        if name not in signals:
            raise ValueError(f"every has {name!r}, wanted a signal of this run: {', '.join(signals)}")
        if steps is not None:
            check_count(f"every[{name!r}]", steps)
    return dict(every)


def check_modules(activations: Any) -> tuple[nn.Module, ...]:
    if not isinstance(activations, Iterable):
        raise TypeError(f"activations is {met(activations)}, wanted an iterable of modules")
    modules = tuple(activations)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"activations holds {met(module)}, wanted torch.nn.Modules only")
    return modules


def whole_epoch(epoch: Any) -> int:
    try:
        value = operator.index(epoch)
    except TypeError:
        raise TypeError(f"epoch is {met(epoch)}, wanted a whole number of at least 0") from None
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
        raise TypeError(f"run_dir is {met(run_dir)}, wanted a path or None")
    if run_dir == "":
        raise ValueError("run_dir is '', wanted a path or None")
    return Path(run_dir)
