"""What there is: every workload, fault and guard, found in the files of their folders."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TypeVar

from benchmarks.rescue import faults, guards, workloads
from benchmarks.rescue.training import Fault, GuardKind, Workload

Named = TypeVar("Named", Workload, type[Fault], GuardKind)


def all_workloads() -> dict[str, Workload]:
    return _by_name(module.WORKLOAD for module in _modules(workloads))


def all_faults() -> dict[str, type[Fault]]:
    found = (
        value
        for module in _modules(faults)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Fault) and value.__module__ == module.__name__
    )
    return _by_name(found)


def usual_faults() -> dict[str, type[Fault]]:
    """Those that take part where nobody says which."""
    return {name: fault for name, fault in all_faults().items() if not fault.hopeless}


def all_guards() -> dict[str, GuardKind]:
    return usual_guards() | guards_on_request()


def usual_guards() -> dict[str, GuardKind]:
    """Those that take part where nobody says which."""
    return _by_name(guard for module in _modules(guards) for guard in getattr(module, "GUARDS", ()))


def guards_on_request() -> dict[str, GuardKind]:
    return _by_name(guard for module in _modules(guards) for guard in getattr(module, "ON_REQUEST", ()))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__):
        yield importlib.import_module(f"{package.__name__}.{found.name}")


def _by_name(found: Iterable[Named]) -> dict[str, Named]:
    return {each.name: each for each in found}
