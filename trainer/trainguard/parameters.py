"""The parameters of a model, looked up in each step: a layer may be added, replaced or shared at any time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import is_, methodcaller
from typing import Any

from torch.nn import Module, Parameter

_values = methodcaller("values")
_END = (object(),)


class Parameters:
    """Those of one model. They are searched for again only where a module of it holds other things than it did.

    Which modules and parameters a module holds is compared by identity, in one pass that Python makes in C: a tenth
    of what the search costs, and that is a third of ``list(model.parameters())``, which makes up all their names.
    """

    def __init__(self, model: Module) -> None:
        self._model = model
        self._has_own_way = _has_own_way(type(model))
        self._tables: list[Mapping[str, Any]] = []
        self._held: list[Any] = []
        self._found: list[Parameter] = []

    def now(self) -> Sequence[Parameter]:
        """As ``model.parameters()`` has them, each once and in its order."""
        if self._has_own_way:
            return list(self._model.parameters())
        if not all(map(is_, self._holding(), self._held)) or not self._held:
            self._search()
        return self._found

    def _holding(self) -> Iterator[Any]:
        """What the modules hold now. It ends with a thing that no module holds, so that nothing is a part of more."""
        return chain(chain.from_iterable(map(_values, self._tables)), _END)

    def _search(self) -> None:
        self._tables = [table for module in _modules_of(self._model) for table in (module._parameters, module._modules)]
        self._held = list(self._holding())
        parameters = chain.from_iterable(map(_values, self._tables[::2]))
        self._found = list({id(each): each for each in parameters if each is not None}.values())


def _modules_of(model: Module) -> Iterator[Module]:
    """As ``model.modules()`` has them."""
    seen: set[Module] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            yield module
            waiting += [child for child in reversed(module._modules.values()) if child is not None]


def _has_own_way(kind: type[Module]) -> bool:
    return (
        kind.parameters is not Module.parameters
        or kind.named_parameters is not Module.named_parameters
        or kind.named_modules is not Module.named_modules
        or kind._named_members is not Module._named_members
    )
