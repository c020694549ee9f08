"""Plain types: what ``torch.load(weights_only=True)`` reads back, whoever wrote it.

A plain tree is made of dicts, OrderedDicts, Counters, lists and tuples, with numbers, strings, bytes, None and tensors
as leaves. A ``state_dict`` of a module keeps the versions that torch hangs on it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

SCALARS = (int, float, bool, str, bytes, type(None))
_UNDERNEATH: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (np.generic, lambda value: value.item()),
    (Integral, int),
    (float, float),
    (str, str.__str__),  # str of an enum's member is its name
)


def plain(value: Any, place: str) -> Any:
    """``value`` as a plain tree, its tensors the live ones.

    Subclasses become what they are underneath: a numpy float a float, a member of a string enum its string, a named
    tuple a tuple, a defaultdict a dict. Raises TypeError, naming the place, for what has no plain form, such as a
    set or a numpy array.
    """
    if isinstance(value, Tensor) or type(value) in SCALARS or isinstance(value, torch.dtype | torch.device):
        return value
    if isinstance(value, Mapping):
        items = {plain(key, place): plain(item, f"{place}[{key!r}]") for key, item in value.items()}
        return _alike(value, items, lambda versions: plain(versions, f"the versions of {place}"))
    if isinstance(value, list | tuple):
        elements = [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return elements if isinstance(value, list) else tuple(elements)
    for kind, underneath in _UNDERNEATH:
        if isinstance(value, kind) and type(found := underneath(value)) in SCALARS:
            return found
    raise TypeError(
        f"{place} holds a {type(value).__module__}.{type(value).__qualname__}, which cannot be stored: "
        "wanted dicts, lists and tuples of numbers, strings, bytes, None and tensors"
    )


def mapped(tree: Any, leaf: Callable[[Tensor], Tensor]) -> Any:
    """A plain tree with ``leaf(tensor)`` in place of each tensor, and no container of the old one."""
    if isinstance(tree, Tensor):
        return leaf(tree)
    if isinstance(tree, dict):
        return _alike(tree, {key: mapped(item, leaf) for key, item in tree.items()})
    if isinstance(tree, list | tuple):
        elements = [mapped(item, leaf) for item in tree]
        return elements if isinstance(tree, list) else tuple(elements)
    return tree


def copied(tree: Any) -> Any:
    """A plain tree that shares nothing with ``tree``: for code that may keep what it is handed."""
    return mapped(tree, Tensor.clone)


def _alike(
    old: Mapping[Any, Any], items: dict[Any, Any], of_versions: Callable[[Any], Any] = lambda versions: versions
) -> dict[Any, Any]:
    """The items in a dict of the kind that ``old`` is, as schedulers of torch look for it.

    With versions, as ``nn.Module.state_dict`` has them and ``load_state_dict`` looks for them.
    """
    versions = getattr(old, "_metadata", None)
    if versions is not None:
        state = OrderedDict(items)
        state._metadata = of_versions(versions)  # type: ignore[attr-defined]
        return state
    kind = next((kind for kind in (OrderedDict, Counter) if isinstance(old, kind)), None)
    return items if kind is None else kind(items)
