"""Plain types: what ``torch.load(weights_only=True)`` reads back, whoever wrote it.

A plain tree is made of dicts, lists and tuples, with numbers, strings, bytes, None and tensors as leaves. A
``state_dict`` of a module keeps the versions that torch hangs on it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

SCALARS = (int, float, bool, str, bytes, type(None))


def plain(value: Any, place: str) -> Any:
    """``value`` as a plain tree, its tensors the live ones.

    Subclasses become what they are underneath: numpy's float64 a float. Raises TypeError, naming the place, for
    what has no plain form.
    """
    if isinstance(value, Tensor) or type(value) in SCALARS or isinstance(value, torch.dtype | torch.device):
        return value
    if isinstance(value, Mapping):
        items = {plain(key, place): plain(item, f"{place}[{key!r}]") for key, item in value.items()}
        versions = getattr(value, "_metadata", None)
        return items if versions is None else _versioned(items, plain(versions, f"the versions of {place}"))
    if isinstance(value, list | tuple):
        elements = [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return elements if isinstance(value, list) else tuple(elements)
    for kind, underneath in ((bool, bool), (Integral, int), (float, float), (str, str)):
        if isinstance(value, kind):
            return underneath(value)
    raise TypeError(f"{place} holds a {type(value).__module__}.{type(value).__qualname__}, which cannot be stored")


def mapped(tree: Any, leaf: Callable[[Tensor], Tensor]) -> Any:
    """A plain tree with ``leaf(tensor)`` in place of each tensor, and no container of the old one."""
    if isinstance(tree, Tensor):
        return leaf(tree)
    if isinstance(tree, dict):
        items = {key: mapped(item, leaf) for key, item in tree.items()}
        versions = getattr(tree, "_metadata", None)
        return items if versions is None else _versioned(items, versions)
    if isinstance(tree, list | tuple):
        elements = [mapped(item, leaf) for item in tree]
        return elements if isinstance(tree, list) else tuple(elements)
    return tree


def copied(tree: Any) -> Any:
    """A plain tree that shares nothing with ``tree``: for code that may keep what it is handed."""
    return mapped(tree, Tensor.clone)


def _versioned(items: dict[Any, Any], versions: Any) -> "OrderedDict[Any, Any]":
    """As ``nn.Module.state_dict`` has it, and ``load_state_dict`` looks for it."""
    state = OrderedDict(items)
    state._metadata = versions  # type: ignore[attr-defined]
    return state
