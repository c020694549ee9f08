"""How the values of all ranks become one."""

import math

import numpy as np
import pytest

from trainguard.ranks.rounds import SLOTS
from trainguard.ranks.slots import Slots, reduction_of
from trainguard_wire.signals import SIGNALS

NAN, INF = math.nan, math.inf
OF_KIND = {"mean": "loss", "sum": "throughput", "max": "grad_norm", "same": "lr"}


def reduced(name: str, *values: float | None) -> float | None:
    slots = Slots()
    slots.add(["other", name])
    rows = np.stack([slots.cargo({} if value is None else {name: value}) for value in values])
    found = slots.reduce(rows, {})
    assert found.keys() <= {name}
    return found.get(name)


def test_each_kind_is_what_numpy_says() -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 8):
        values = random.normal(size=size).tolist()
        assert reduced("loss", *values) == pytest.approx(np.mean(values), rel=1e-15)
        assert reduced("throughput", *values) == pytest.approx(np.sum(values), rel=1e-15)
        assert reduced("grad_norm", *values) == max(values)
        assert reduced("lr", *[values[0]] * size) == values[0]


def test_a_rank_without_a_value_does_not_count() -> None:
    assert reduced("loss", None, 2.0, 4.0) == 3.0
    assert reduced("throughput", 2.0, None) == 2.0
    assert reduced("grad_norm", None, -2.0) == -2.0
    assert reduced("lr", None, 0.1) == 0.1
    assert reduced("loss", None, None) is None


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("name", sorted(OF_KIND.values()))
def test_what_is_not_finite_on_one_rank_is_seen(name: str, value: float) -> None:
    for rank in (0, 1, 7):
        values = [1.0] * 8
        values[rank] = value
        found = reduced(name, *values)
        assert found is not None
        assert found == value or (math.isnan(found) and math.isnan(value))


def test_infinities_of_both_signs_are_nan() -> None:
    for name in OF_KIND.values():
        found = reduced(name, INF, -INF)
        assert found is not None
        assert math.isnan(found)


def test_names_beyond_the_slots_keep_this_ranks_value() -> None:
    slots = Slots()
    names = [f"v{index:03}" for index in range(SLOTS + 2)]
    slots.add(names)
    assert all(map(slots.knows, names))
    own = dict.fromkeys(names, 1.0)
    rows = np.stack([slots.cargo(own), slots.cargo(dict.fromkeys(names, 3.0))])
    assert slots.reduce(rows, own) == {**dict.fromkeys(names[:SLOTS], 2.0), **dict.fromkeys(names[SLOTS:], 1.0)}


def test_every_signal_says_how() -> None:
    assert {reduction_of(name) for name in SIGNALS} == set(OF_KIND)
    assert reduction_of("knob_dropout") == "same"
    assert reduction_of("val_loss") == "mean"
