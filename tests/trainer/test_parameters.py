"""The walk over a model finds what torch's own finds, in the same order."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from trainguard.parameters import parameters_of


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
    expected = list(model.parameters())
    assert [id(parameter) for parameter in parameters_of(model)] == [id(parameter) for parameter in expected]
    model.more = nn.Linear(1, 1)
    assert len(parameters_of(model)) == len(list(model.parameters()))
