"""Trackers against a batch computation, on every prefix of random streams."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard_rules.stats import (
    Age,
    Best,
    Changed,
    Count,
    Cusum,
    Initial,
    NonFinite,
    Prev,
    Share,
    SinceBest,
    Slope,
    Tracker,
)

FLOATS = st.lists(st.floats(-1e6, 1e6), max_size=60)
FEW = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0]), max_size=60)
LARGE = st.lists(st.floats(0, 1e-3).map(lambda x: 1e9 + x), max_size=60)
STREAMS = st.one_of(FLOATS, FEW, LARGE)
TRUTHS = st.lists(st.sampled_from([0.0, 1.0]), max_size=60)
ANY = st.lists(st.one_of(st.floats(-1, 1), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=60)
WINDOWS = st.integers(1, 12)


def values(tracker: Tracker, stream: list[float]) -> list[float]:
    """What it says at each sample; asking changes nothing."""
    said = []
    for i, x in enumerate(stream):
        before = repr(tracker.snapshot())
        said.append(tracker.at(x, i, i // 3, i * 0.5))
        assert repr(tracker.at(x, i, i // 3, i * 0.5)) == repr(said[-1])
        assert repr(tracker.snapshot()) == before
        tracker.update(x, i, i // 3, i * 0.5)
    return said


def tails(stream: list[float], window: int) -> list[list[float]]:
    return [stream[: i + 1][-window:] for i in range(len(stream))]


def slope(ys: list[float]) -> float:
    """By definition, in exact arithmetic."""
    n = len(ys)
    deviations = [Fraction(2 * i - n + 1, 2) for i in range(n)]
    return float(sum(d * Fraction(y) for d, y in zip(deviations, ys, strict=True)) / sum(d * d for d in deviations))


@given(stream=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30), n=st.integers(1, 5))
def test_prev_is_the_nth_sample_back(stream, n):
    """NaN until there are n samples."""
    for i, value in enumerate(values(Prev(n), stream)):
        assert (math.isnan(value) and i < n) or value == stream[i - n]


@given(stream=STREAMS)
def test_best_is_the_lowest_so_far(stream):
    """The current sample counts."""
    assert values(Best(), stream) == [min(stream[: i + 1]) for i in range(len(stream))]


@given(stream=FEW)
def test_changed_compares_with_the_sample_before(stream):
    """At the first there is nothing to compare with."""
    said = values(Changed(), stream)
    assert all(map(math.isnan, said[:1]))
    assert said[1:] == [float(a != b) for a, b in pairwise(stream)]


@given(stream=TRUTHS, window=WINDOWS)
def test_count_and_share_of_the_window(stream, window):
    """The current sample counts; of a window not yet full, the share is that of the samples there are."""
    assert values(Count(window), stream) == [sum(tail) for tail in tails(stream, window)]
    assert values(Share(window), stream) == [sum(tail) / len(tail) for tail in tails(stream, window)]


@given(stream=ANY, window=WINDOWS)
def test_nonfinite_counts_nan_and_the_infinities(stream, window):
    """It is the one statistic that they are not kept from."""
    assert NonFinite.takes_nonfinite
    wanted = [sum(not math.isfinite(x) for x in tail) for tail in tails(stream, window)]
    assert values(NonFinite(window), stream) == wanted


@given(stream=STREAMS, slack=st.floats(-10, 1e6))
def test_cusum_is_the_highest_excess_of_any_run_up_to_now(stream, slack):
    """By its other definition: the highest sum of (x - slack) over the samples since any earlier one, or 0."""
    said = values(Cusum(slack), stream)
    for i, value in enumerate(said):
        excess = [math.fsum(x - slack for x in stream[k : i + 1]) for k in range(i + 1)]
        assert value == pytest.approx(max(0.0, *excess), rel=1e-12, abs=1e-6)


@given(stream=STREAMS, slack=st.floats(0, 10), restart=st.floats(0, 100))
def test_cusum_restarts_after_the_sample_on_which_it_reached_the_bound(stream, slack, restart):
    """Page's chart after an alarm: what came before counts no more."""
    total = 0.0
    for x, value in zip(stream, values(Cusum(slack, restart), stream), strict=True):
        total = max(0.0, total + x - slack)
        assert value == total
        if total >= restart:
            total = 0.0


@given(stream=ANY, after=st.integers(0, 8))
def test_initial_is_the_first_finite_value_after_so_many_samples(stream, after):
    """Unknown before, and the same ever after; samples that are no numbers count."""
    assert Initial.takes_nonfinite
    for i, value in enumerate(values(Initial(after), stream)):
        found = [x for x in stream[after : i + 1] if math.isfinite(x)]
        assert repr(value) == repr(found[0] if found else math.nan)


@given(stream=STREAMS, window=WINDOWS)
def test_slope_equals_least_squares_on_every_prefix(stream, window):
    """From half the window and 3 samples on; the error is small against the spread, whatever the level."""
    warm = max(3, -(-window // 2))
    for value, tail in zip(values(Slope(window), stream), tails(stream, window), strict=True):
        wanted = slope(tail) if len(tail) >= warm else math.nan
        scale = max(tail) - min(tail) + 1e-300
        assert value == pytest.approx(wanted, rel=0, abs=1e-12 * scale, nan_ok=True)


@pytest.mark.parametrize("rate", [1e-2, -3.0, 1e3])
@pytest.mark.parametrize("window", [50, 501])
def test_slope_finds_a_trend_on_a_high_level(rate, window):
    """Offsets of 1e9 cost no digits but those the samples themselves have lost."""
    stream = [1e9 + rate * i for i in range(3 * window)]
    said = values_fast(Slope(window), stream)
    assert said[window:] == pytest.approx([rate] * (2 * window), rel=1e-6)
    assert said[-1] == pytest.approx(slope(stream[-window:]), rel=1e-11)


def values_fast(tracker: Tracker, stream: list[float]) -> list[float]:
    said = []
    for i, x in enumerate(stream):
        said.append(tracker.at(x, i, math.nan, 0.0))
        tracker.update(x, i, math.nan, 0.0)
    return said


@pytest.mark.parametrize("at", range(20, 32))
def test_slope_forgets_a_spike_that_has_left_the_window(at):
    """Wherever in the cycle of the two stacks it fell."""
    stream = [0.01 * (i % 7) for i in range(60)]
    stream[at] = 1e12
    said = values(Slope(10), stream)
    for i in range(at + 10, 60):
        assert said[i] == pytest.approx(slope(stream[i - 9 : i + 1]), abs=1e-15)


@given(stream=st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_since_best_counts_from_the_first_lowest_sample(stream):
    """In steps, epochs and seconds alike; an equal value is no new best."""
    best = [stream.index(min(stream[: i + 1])) for i in range(len(stream))]
    assert values(SinceBest("steps"), stream) == [i - b for i, b in enumerate(best)]
    assert values(SinceBest("epochs"), stream) == [i // 3 - b // 3 for i, b in enumerate(best)]
    assert values(SinceBest("seconds"), stream) == [(i - b) * 0.5 for i, b in enumerate(best)]


@given(
    stream=st.lists(st.floats(-10, 10), max_size=40),
    gain=st.sampled_from([0.0, 0.5, 3.0]),
    relative=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_since_best_wants_the_least_gain(stream, gain, relative):
    """A lower value that is not lower by so much leaves the best where it was."""
    best, when = math.inf, 0
    for i, (x, value) in enumerate(zip(stream, values(SinceBest("steps", gain, relative), stream), strict=True)):
        if i == 0 or x < best - gain - relative * abs(best):
            best, when = x, i
        assert value == i - when


def test_since_best_in_epochs_is_unknown_where_the_loop_names_none():
    """Epochs are the user's to give."""
    tracker = SinceBest("epochs")
    assert math.isnan(tracker.at(math.inf, 1, math.nan, 0.0))
    tracker.update(1.0, 1, math.nan, 0.0)
    assert math.isnan(tracker.at(2.0, 2, math.nan, 0.0))


def test_age_counts_steps_since_any_sample():
    """Whatever the sample was, and whatever it is asked with; before the first, since the run began."""
    age = Age()
    assert age.takes_nonfinite
    assert age.at(1.0, 7, math.nan, 0.0) == 7.0
    age.start(5)
    assert age.at(1.0, 7, math.nan, 0.0) == 2.0
    age.update(math.nan, 10, math.nan, 0.0)
    assert age.at(math.nan, 10, math.nan, 0.0) == 0.0
    assert age.at(5.0, 13, math.nan, 0.0) == 3.0


@pytest.mark.parametrize("tracker", [Changed(), Count(3), Share(3), Slope(3), Cusum(0.5)])
def test_about_a_sample_that_is_no_number_there_is_nothing_to_say(tracker):
    """It will not be learned, but `at` is asked all the same; a comparison with the answer is unknown."""
    values_fast(tracker, [1.0, 0.0, 1.0])
    assert math.isnan(tracker.at(math.nan, 3, math.nan, 0.0))


def test_best_passes_over_a_sample_that_is_no_number():
    """The lowest so far is known all the same."""
    best = Best()
    assert math.isnan(best.at(math.nan, 0, math.nan, 0.0))
    best.update(3.0, 0, math.nan, 0.0)
    assert best.at(math.nan, 1, math.nan, 0.0) == 3.0


TRACKERS: list[Callable[[], Tracker]] = [
    Age,
    Best,
    Changed,
    partial(Count, 7),
    partial(Cusum, 0.25),
    partial(Cusum, 0.25, 3.0),
    partial(Initial, 2),
    partial(NonFinite, 7),
    partial(Prev, 3),
    partial(Share, 7),
    partial(SinceBest, "steps"),
    partial(SinceBest, "steps", 0.5, 0.1),
    partial(SinceBest, "epochs"),
    partial(SinceBest, "seconds"),
    *(partial(Slope, window) for window in (1, 2, 3, 4, 9)),
]


@pytest.mark.parametrize("make", TRACKERS)
@settings(max_examples=40)
@given(data=st.data(), cut=st.integers(0, 60))
def test_a_restored_tracker_goes_on_to_the_last_bit(make, data, cut):
    """From a snapshot as it comes back from a file, whatever the copy had seen before."""
    original, copy = make(), make()
    stream = data.draw(TRUTHS if isinstance(original, Count) else STREAMS)
    values_fast(original, stream[:cut])
    values_fast(copy, [1.0, 0.0, 1.0, 0.0])
    copy.restore(json.loads(json.dumps(original.snapshot(), allow_nan=False)))
    assert list(map(repr, values_fast(copy, stream))) == list(map(repr, values_fast(original, stream)))
    assert repr(copy.snapshot()) == repr(original.snapshot())


@pytest.mark.parametrize("make", TRACKERS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_reset_tracker_is_as_good_as_new(make, data):
    """Nothing of the past shows."""
    used, fresh = make(), make()
    stream = data.draw(TRUTHS if isinstance(used, Count) else STREAMS)
    values_fast(used, stream)
    used.reset()
    assert repr(used.snapshot()) == repr(fresh.snapshot())
    assert list(map(repr, values_fast(used, stream))) == list(map(repr, values_fast(fresh, stream)))
