"""The sorted window behind `Mad` and the core behind `Median` and `Quantile`: neither is ever noticed."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard_rules.stats import Mad, Median, Quantile, quantile, sorted_window
from trainguard_rules.stats.sorted_window import SortedWindow

LEVELS = st.one_of(st.floats(-1e6, 1e6), st.integers(0, 5).map(float), st.just(-0.0))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a short stream cuts, empties and deals the blocks, and leaves the core."""
    monkeypatch.setattr(sorted_window, "BLOCK", 8)
    monkeypatch.setattr(quantile, "LEAST", 1)


def check(ordered: SortedWindow, tail: list[float]) -> None:
    """Every rank, from every finger, and the house rules of the blocks."""
    blocks = ordered.blocks
    everything = [-math.inf, *sorted(tail), math.inf]
    assert [x for block in blocks for x in block] == everything
    assert ordered._lasts == [block[-1] for block in blocks]
    assert max(map(len, blocks)) <= 8
    assert len(blocks) <= 5 + 4 * len(everything) / 8
    for finger in ordered._fingers:
        assert finger.before == sum(map(len, blocks[: finger.block]))


@pytest.mark.parametrize("window", [1, 5, 8, 40])
@settings(max_examples=40)
@given(stream=st.lists(LEVELS, max_size=150))
def test_blocks_stay_in_order_and_fingers_in_place(window, stream):
    """On every prefix."""
    mad = Mad(window)
    for i, x in enumerate(stream):
        mad.update(x)
        check(mad.ordered, stream[: i + 1][-window:])


def check_core(statistic: Quantile, tail: list[float]) -> None:
    """All samples between its bounds are in the core, in order, and the rank is counted right."""
    ordered = [*sorted(tail), math.inf]
    assert statistic._core == [x for x in ordered if statistic._low <= x <= statistic._high]
    below = sum(x < statistic._low for x in tail)
    assert statistic._at == int(statistic.q * (len(tail) - 1)) - below


@pytest.mark.parametrize("window", [1, 5, 8, 40])
@pytest.mark.parametrize("q", [None, 0.0, 0.3, 1.0])
@settings(max_examples=30)
@given(stream=st.lists(LEVELS, max_size=150))
def test_the_core_holds_what_is_around_the_rank(q, window, stream):
    """On every prefix, and so does that of a restored statistic."""
    statistic = Median(window) if q is None else Quantile(q, window)
    restored = Median(window) if q is None else Quantile(q, window)
    for i, x in enumerate(stream):
        statistic.update(x)
        check_core(statistic, stream[: i + 1][-window:])
    restored.restore(statistic.snapshot())
    if stream:
        check_core(restored, stream[-window:])


def drift(n: int) -> list[float]:
    rng = random.Random(1)
    return [-i + rng.random() for i in range(n)]


def bursts(n: int) -> list[float]:
    """A falling level, and spikes that keep one value alive wherever there once were many."""
    rng = random.Random(2)
    return [100.0 - i / 10 if i % 7 else rng.uniform(0, 100) for i in range(n)]


def two_modes(n: int) -> list[float]:
    """The median jumps to and fro, and what is near to it with it."""
    rng = random.Random(3)
    return [(i % 2) * 1e6 + rng.random() if i % 90 < 45 else rng.choice([0.0, 1e6]) for i in range(n)]


def noise(n: int) -> list[float]:
    rng = random.Random(4)
    return [1e9 + rng.gauss(0, 1e-3) for _ in range(n)]


@pytest.mark.parametrize("stream", [drift, bursts, two_modes, noise, lambda n: [3.0] * n])
@pytest.mark.parametrize("window", [100, 101])
def test_ranks_of_many_blocks_equal_the_batch(stream, window):
    """To the last bit: a rank is found, not computed."""
    samples = stream(600)
    median, mad, low, high = Median(window), Mad(window), Quantile(0.05, window), Quantile(0.99, window)
    for i, x in enumerate(samples):
        for statistic in (median, mad, low, high):
            statistic.update(x)
        if i >= window:
            tail = np.array(samples[i - window + 1 : i + 1])
            assert median.value == np.median(tail)
            assert mad.value == np.median(abs(tail - np.median(tail)))
            assert low.value == pytest.approx(np.quantile(tail, 0.05), rel=1e-15)
            assert high.value == pytest.approx(np.quantile(tail, 0.99), rel=1e-15)
            check(mad.ordered, list(tail))


def test_zero_has_no_sign():
    """Were -0.0 kept, equal values would not be interchangeable and a restored window could differ in a bit."""
    median = Median(1)
    median.update(-0.0)
    assert math.copysign(1.0, median.value) == 1.0
