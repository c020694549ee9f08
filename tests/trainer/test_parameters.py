"""The walk over a model finds what torch's own finds, in the same order."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from trainguard.parameters import Parameters


def with_a_shared_layer() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.ModuleDict({"a": nn.Sequential(layer, nn.ReLU(), layer), "b": layer, "c": nn.Linear(3, 1)})


def with_a_tied_weight() -> nn.Module:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    return model


def with_gaps() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, affine=False), nn.Linear(2, 1))
    model.register_module("nothing", None)
    model.extra = nn.ParameterList([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))])
    model[2].inner = nn.Parameter(torch.ones(3))
    return model


class OnlyHalf(nn.Sequential):
    """A wrapper that shows other parameters than it has."""

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(list(super().named_parameters(*args, **kwargs))[::2])


MODELS: list[Callable[[], nn.Module]] = [
    *(with_a_shared_layer, with_a_tied_weight, with_gaps),
    lambda: nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
    lambda: OnlyHalf(nn.Linear(2, 2), nn.Linear(2, 2)),
    lambda: torch.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU())),
    nn.ReLU,
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile
@pytest.mark.parametrize("make", MODELS)
def test_the_same_parameters_in_the_same_order(make: Callable[[], nn.Module]) -> None:
    """Shared ones once, missing ones not at all, and those of a model that has its own way."""
    model = make()
    parameters = Parameters(model)
    assert same(parameters, model)
    assert same(parameters, model), "as remembered"
    model.more = nn.Linear(1, 1)
    assert same(parameters, model)


def same(parameters: Parameters, model: nn.Module) -> bool:
    return list(map(id, parameters.now())) == list(map(id, model.parameters()))


def replace_a_parameter(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(torch.ones(1, 2))


def replace_one_behind_torchs_back(model: nn.Sequential) -> None:
    model[2]._parameters["weight"] = nn.Parameter(torch.ones(1, 2))


def share_a_parameter(model: nn.Sequential) -> None:
    model[2].weight = model[0].weight


def lose_a_parameter(model: nn.Sequential) -> None:
    model[2].register_parameter("bias", None)


def replace_a_layer(model: nn.Sequential) -> None:
    model[1] = nn.PReLU()


def lose_a_layer(model: nn.Sequential) -> None:
    del model[2]


def lose_the_last_of_all(model: nn.Sequential) -> None:
    del model[3][0].bias


def add_one_after_the_last(model: nn.Sequential) -> None:
    model[3][0].more = nn.Parameter(torch.ones(1))


def add_a_layer_deep_below(model: nn.Sequential) -> None:
    model[3][0].more = nn.Linear(3, 3)


def convert(model: nn.Sequential) -> None:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


CHANGES = [
    *(replace_a_parameter, replace_one_behind_torchs_back, share_a_parameter, lose_a_parameter),
    *(replace_a_layer, lose_a_layer, add_a_layer_deep_below, convert),
    *(lose_the_last_of_all, add_one_after_the_last),
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_seen(change: Callable[[nn.Sequential], None]) -> None:
    """Also where nothing changes in number."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    parameters = Parameters(model)
    before = list(parameters.now())
    change(model)
    assert same(parameters, model)
    assert list(map(id, before)) != list(map(id, parameters.now()))
