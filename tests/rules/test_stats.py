"""Streaming statistics against a batch computation, on every prefix of random streams."""

import math
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_rules.stats import Mean, Median, Prev, Reference, SinceBest

STREAMS = st.one_of(
    st.lists(st.floats(-1e6, 1e6), max_size=80),
    st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0]), max_size=80),
    st.lists(st.floats(0, 1e-3).map(lambda x: 1e9 + x), max_size=80),  # near-equal large numbers
)
REFERENCES: list[tuple[type[Reference], Callable[[list[float]], float]]] = [
    (Mean, statistics.fmean),
    (Median, statistics.median),
]


def close(a: float, b: float, scale: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 1e-12 * max(1.0, scale)


@pytest.mark.parametrize(("make", "batch"), REFERENCES)
@given(stream=STREAMS, window=st.integers(1, 12))
def test_a_window_equals_the_batch_on_every_prefix(make, batch, stream, window):
    """Once half the window is there, ``value`` is the statistic of the last ``window`` samples."""
    streaming = make(window)
    for i, x in enumerate(stream):
        streaming.update(x)
        tail = stream[: i + 1][-window:]
        wanted = batch(tail) if len(tail) >= -(-window // 2) else math.nan
        assert close(streaming.value, wanted, max(map(abs, tail)))


@pytest.mark.parametrize(("make", "batch"), REFERENCES)
def test_a_spike_that_has_left_the_window_leaves_nothing_behind(make, batch):
    """A running sum that subtracts would keep the rounding error of 1e12 for ever."""
    stream = [0.01 * (i % 7) for i in range(50)]
    stream[20] = 1e12
    streaming = make(10)
    for i, x in enumerate(stream):
        streaming.update(x)
        if i >= 30:
            assert streaming.value == pytest.approx(batch(stream[i - 9 : i + 1]), abs=1e-15)


@pytest.mark.parametrize("make", [Mean, Median])
@given(stream=STREAMS, cut=st.integers(0, 80), window=st.integers(1, 12))
def test_a_restored_window_goes_on_to_the_last_bit(make, stream, cut, window):
    """A snapshot is all there is: from it on, both give the same floats, not just close ones."""
    original, copy = make(window), make(window)
    for x in stream[:cut]:
        original.update(x)
    for x in [5.0, -3.0, 2.0]:
        copy.update(x)
    copy.restore(original.snapshot())
    assert repr(copy.value) == repr(original.value)
    for x in stream[cut:]:
        original.update(x)
        copy.update(x)
        assert repr(copy.value) == repr(original.value)


@pytest.mark.parametrize("make", [Mean, Median])
def test_a_held_window_lets_go_after_its_own_length(make):
    """Frozen for ``window`` samples; a level that lasts longer is the new normal and is learned."""
    reference = make(4)
    for _ in range(4):
        reference.update(1.0)
    for _ in range(4):
        reference.hold(9.0)
        assert reference.value == 1.0
    for _ in range(4):
        reference.hold(9.0)
    assert reference.value == 9.0
    reference.release()
    reference.hold(1.0)
    assert reference.value == 9.0, "a new incident freezes it anew"


@pytest.mark.parametrize("make", [Mean, Median])
def test_reset_forgets_everything(make):
    """After a reset there is nothing to say."""
    reference = make(2)
    reference.update(1.0)
    reference.reset()
    assert math.isnan(reference.value)
    reference.update(7.0)
    assert reference.value == 7.0


@given(stream=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30), n=st.integers(1, 5))
def test_prev_is_the_nth_sample_back(stream, n):
    """NaN until there are n samples."""
    prev = Prev(n)
    for i, x in enumerate(stream):
        value = prev.at(x, i, math.nan, 0.0)
        assert (math.isnan(value) and i < n) or value == stream[i - n]
        prev.update(x, i, math.nan, 0.0)
        copy = Prev(n)
        copy.restore(prev.snapshot())
        assert copy.snapshot() == prev.snapshot()


@given(stream=st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_since_best_counts_from_the_first_lowest_sample(stream):
    """In steps, epochs and seconds alike; an equal value is no new best."""
    trackers = {unit: SinceBest(unit) for unit in ("steps", "epochs", "seconds")}
    for i, x in enumerate(stream):
        best = stream.index(min(stream[: i + 1]))
        at = {"steps": i, "epochs": i // 3, "seconds": i * 0.5}
        since = {"steps": i - best, "epochs": i // 3 - best // 3, "seconds": (i - best) * 0.5}
        for unit, tracker in trackers.items():
            moment = (at["steps"], at["epochs"], at["seconds"])
            assert tracker.at(x, *moment) == since[unit]
            tracker.update(x, *moment)
            copy = SinceBest(unit)
            copy.restore(tracker.snapshot())
            assert repr(copy.at(x, *moment)) == repr(tracker.at(x, *moment))


def test_since_best_in_epochs_is_unknown_where_the_loop_names_none():
    """Epochs are the user's to give."""
    tracker = SinceBest("epochs")
    assert math.isnan(tracker.at(math.inf, 1, math.nan, 0.0))
    tracker.update(1.0, 1, math.nan, 0.0)
    assert math.isnan(tracker.at(2.0, 2, math.nan, 0.0))
