"""The parameters of a model, looked up in each step: a layer may be added or shared at any time."""

from torch.nn import Module, Parameter

_WALKS = ("parameters", "named_parameters", "named_modules", "_named_members")


def parameters_of(model: Module) -> list[Parameter]:
    """``list(model.parameters())`` for a third of the price: torch makes up all their names on the way."""
    if any(getattr(type(model), walk) is not getattr(Module, walk) for walk in _WALKS):
        return list(model.parameters())  # the model has a way of its own
    found: dict[Parameter, None] = {}
    seen: set[Module] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for parameter in module._parameters.values():
            if parameter is not None:
                found[parameter] = None
        if module._modules:
            waiting += [child for child in reversed(module._modules.values()) if child is not None]
    return list(found)
