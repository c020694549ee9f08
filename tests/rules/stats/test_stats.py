"""Streaming references against a batch computation, on every prefix of random streams."""

import json
import math
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard_rules.stats import Ewma, Mad, Max, Mean, Median, Min, Quantile, Reference, Std

STREAMS = st.one_of(
    st.lists(st.floats(-1e6, 1e6), max_size=80),
    st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0]), max_size=80),
    st.lists(st.floats(0, 1e-3).map(lambda x: 1e9 + x), max_size=80),  # near-equal large numbers
)
Make = Callable[[int], Reference]
Batch = Callable[[list[float]], float]


def stdev(tail: list[float]) -> float:
    return statistics.stdev(tail) if len(tail) > 1 else math.nan


def mad(tail: list[float]) -> float:
    middle = statistics.median(tail)
    return statistics.median(abs(x - middle) for x in tail)


def quantile(q: float) -> tuple[Make, Batch]:
    return partial(Quantile, q), lambda tail: float(np.quantile(tail, q))


def level(tail: list[float]) -> float:
    return max(1.0, *map(abs, tail))


def spread(tail: list[float]) -> float:
    """What the error of a measure of spread has to be small against, however high the level."""
    return max(tail) - min(tail) + 1e-150


WINDOWS: list[tuple[Make, Batch, Batch]] = [
    (Mean, statistics.fmean, level),
    (Std, stdev, spread),
    (Min, min, level),
    (Max, max, level),
    (Median, statistics.median, level),
    (Mad, mad, spread),
    *((*quantile(q), level) for q in (0.0, 0.1, 0.5, 0.9, 1.0)),
]
REFERENCES: list[Make] = [*(make for make, *_ in WINDOWS), Ewma]
each_window = pytest.mark.parametrize(("make", "batch", "scale"), WINDOWS)
each_reference = pytest.mark.parametrize("make", REFERENCES)


@each_window
@given(stream=STREAMS, window=st.integers(1, 12))
def test_a_window_equals_the_batch_on_every_prefix(make, batch, scale, stream, window):
    """Once half the window is there, ``value`` is the statistic of the last ``window`` samples."""
    streaming = make(window)
    for i, x in enumerate(stream):
        streaming.update(x)
        tail = stream[: i + 1][-window:]
        wanted = batch(tail) if len(tail) >= -(-window // 2) else math.nan
        assert streaming.value == pytest.approx(wanted, rel=0, abs=1e-12 * scale(tail), nan_ok=True)


@given(stream=STREAMS, span=st.integers(1, 12))
def test_the_weighted_mean_equals_its_definition_on_every_prefix(stream, span):
    """Weights fall by 1 - alpha from the newest sample back; the first sample has all that is left."""
    streaming, alpha = Ewma(span), 2 / (span + 1)
    for i, x in enumerate(stream):
        streaming.update(x)
        weights = [alpha * (1 - alpha) ** age for age in range(i)] + [(1 - alpha) ** i]
        wanted = math.fsum(w * y for w, y in zip(weights, reversed(stream[: i + 1]), strict=True))
        wanted = wanted if i + 1 >= -(-span // 2) else math.nan
        assert streaming.value == pytest.approx(wanted, abs=1e-12 * level(stream[: i + 1]), nan_ok=True)


@each_window
@pytest.mark.parametrize("window", [7, 10])
@pytest.mark.parametrize("at", range(20, 32))
def test_a_spike_that_has_left_the_window_leaves_nothing_behind(make, batch, scale, window, at):
    """Wherever in the cycle of the two stacks it fell. A sum that subtracts would keep its rounding error for ever."""
    stream = [0.01 * (i % 7) for i in range(70)]
    stream[at] = 1e12
    streaming = make(window)
    for i, x in enumerate(stream):
        streaming.update(x)
        if i >= at + window:
            assert streaming.value == pytest.approx(batch(stream[i - window + 1 : i + 1]), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("level", [0.0, 1e9])
@pytest.mark.parametrize("apart", [1e3, 1e12])
def test_an_outlier_costs_a_spread_no_digits_wherever_it_falls(level, apart):
    """Also where all is measured from it, because it came last before the stacks were flipped."""
    noise = [level + 0.01 * (i * 7919 % 101) for i in range(1000)]
    for at in (300, 598, 599, 600):
        stream = [*noise[:at], level + apart, *noise[at + 1 :]]
        std, samples = Std(200), np.array(stream) - level
        for i, x in enumerate(stream):
            std.update(x)
            if i >= 200 and i % 23 == 0:
                assert std.value == pytest.approx(np.std(samples[i - 199 : i + 1], ddof=1), rel=1e-11)


@each_window
@pytest.mark.parametrize("level", [0.0, 0.1, -1e9, 1e-300, 1e300])
def test_a_constant_stays_what_it_is(make, batch, scale, level):
    """No measure of spread makes noise out of rounding."""
    streaming = make(10)
    for _ in range(40):
        streaming.update(level)
    if batch in (stdev, mad):
        assert streaming.value == 0.0
    else:
        assert streaming.value == pytest.approx(level, rel=1e-15)


@each_window
def test_the_largest_floats_are_forgotten_too(make, batch, scale):
    """What overflows to an infinity or NaN while it is in the window is gone when it has left."""
    streaming = make(4)
    for x in [1e308, -1e308, 1.7e308, -1.7e308, 1.7e308, 1.7e308, 1.0, 2.0, 3.0, 5.0]:
        streaming.update(x)
    assert streaming.value == pytest.approx(batch([1.0, 2.0, 3.0, 5.0]), rel=1e-15)


def test_the_weighted_mean_survives_the_largest_floats():
    """It has no window to leave, so it may never become infinite."""
    ewma = Ewma(3)
    for x in [1.7e308, -1.7e308] * 3 + [1.0] * 2000:
        ewma.update(x)
    assert ewma.value == pytest.approx(1.0)


@each_reference
@settings(max_examples=40)
@given(stream=STREAMS, cut=st.integers(0, 80), window=st.integers(1, 12), held=st.integers(0, 3))
def test_a_restored_reference_goes_on_to_the_last_bit(make, stream, cut, window, held):
    """A snapshot is all there is: from it on, both give the same floats, not just close ones."""
    original, copy = make(window), make(window)
    for x in stream[:cut]:
        original.update(x)
    for x in stream[:held]:
        original.hold(x)
    for x in [5.0, -3.0, 2.0]:
        copy.update(x)
    copy.restore(json.loads(json.dumps(original.snapshot(), allow_nan=False)))
    assert repr(copy.value) == repr(original.value)
    for x in stream[cut:]:
        for reference in (original, copy):
            reference.hold(x)
        assert repr(copy.value) == repr(original.value)
    for x in stream:
        for reference in (original, copy):
            reference.update(x)
        assert repr(copy.value) == repr(original.value)
    assert copy.snapshot() == original.snapshot()


@each_reference
def test_a_held_reference_lets_go_after_its_own_length(make):
    """Frozen for ``window`` samples; a level that lasts longer is the new normal and is learned."""
    reference, relearned = make(4), make(4)
    for _ in range(4):
        reference.update(1.0)
        relearned.update(1.0)
    before = reference.value
    for x in [9.0, 7.0, 9.0, 7.0]:
        reference.hold(x)
        assert reference.value == before
    for x in [9.0, 7.0, 8.0, 2.0]:
        reference.hold(x)
        relearned.update(x)
        assert reference.value == relearned.value
    reference.release()
    reference.hold(1.0)
    assert reference.value == relearned.value, "a new incident freezes it anew"


@each_reference
@settings(max_examples=40)
@given(stream=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=20))
def test_reset_forgets_everything(make, stream):
    """After a reset it is as good as new."""
    used, fresh = make(4), make(4)
    for x in stream:
        used.hold(x)
    for x in stream:
        used.update(x)
    used.reset()
    assert math.isnan(used.value)
    assert used.snapshot() == fresh.snapshot()
    for x in stream:
        used.update(x)
        fresh.update(x)
        assert repr(used.value) == repr(fresh.value)


def test_a_quantile_lies_between_0_and_1():
    """Anything else is a mistake of whoever wrote it."""
    with pytest.raises(ValueError, match="quantile 2"):
        Quantile(2, 10)
