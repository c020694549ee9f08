"""Adaptive polling, with time stepped by hand: a trainer that writes, and how soon and how often it is looked at."""

import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from trainguard_monitor.following.cadence import IDLE, IDLE_LOOKS, RESTING, SILENT_AFTER, SOON, Cadence
from trainguard_wire import Sample, sample_of


class Watched(NamedTuple):
    """Looks for each step; and how long samples lay there, in milliseconds."""

    looks: float
    median: float
    late: float


def sample(step: int, time: float) -> Sample:
    return sample_of({"loss": 1.0}, step=step, generation=0, time=time)


def watched(
    gaps: Sequence[float], *, behind: float = 0.0, rate: float = 1.0, a_step: int = 1, stamp_late: bool = False
) -> Watched:
    """A trainer with these steps, whose clock is ``behind`` and runs at a ``rate``; ``a_step`` samples in each step."""
    written = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    stamps = [rate * written[max(0, i - stamp_late)] - behind for i in range(len(gaps))]
    cadence, looks, waits, i = Cadence(0.0), 0, [], 0
    settled = len(gaps) // 4
    while i < len(gaps):
        now, came = cadence.due + 0.0002, []
        looks += i > settled
        while i < len(gaps) and written[i] <= now:
            came += [sample(i + 1, stamps[i])] * a_step
            waits += [1000 * (now - written[i])] * (i > settled)
            i += 1
        cadence.looked(now, came)
    return Watched(looks / (len(gaps) - settled), statistics.median(waits), sorted(waits)[int(0.99 * len(waits))])


def steps(seconds: float, jitter: float, count: int = 600) -> list[float]:
    chance = random.Random(0)
    return [seconds * chance.uniform(1 - jitter, 1 + jitter) for _ in range(count)]


@pytest.mark.parametrize(
    ("behind", "a_step", "stamp_late"),
    [(0.0, 1, False), (5.0, 1, False), (-5.0, 1, False), (0.0, 2, False), (0.0, 1, True)],
    ids=["same clock", "clock behind", "clock ahead", "two samples a step", "values a step late"],
)
def test_a_regular_trainer_is_looked_at_once_a_step_just_after_it_wrote(behind, a_step, stamp_late):
    found = watched(steps(0.01, 0.05), behind=behind, a_step=a_step, stamp_late=stamp_late)
    assert found.looks < 1.4
    assert found.median < 1.2
    assert found.late < 3.0


@pytest.mark.parametrize("seconds", [0.001, 0.0027, 0.05, 0.131, 1.1])
def test_quick_and_slow_trainers_wait_alike(seconds):
    """In milliseconds, not in shares of a step; and no more is spent on it than so many looks a second."""
    found = watched(steps(seconds, 0.05, 300))
    assert found.median < 1.5
    assert found.looks / seconds < 1100 if seconds < 0.01 else found.looks < 2 + 100 * seconds


def test_an_irregular_trainer_is_not_looked_at_all_the_time():
    chance = random.Random(0)
    found = watched([chance.expovariate(100) for _ in range(600)])
    assert found.looks < 5
    assert found.median < 4.0


def test_steps_that_change_their_length_are_followed():
    found = watched(steps(0.01, 0.03) + steps(0.004, 0.03) + steps(0.02, 0.03))
    assert found.looks < 1.6
    assert found.median < 1.2


def test_a_slow_step_now_and_then_does_not_spoil_the_rhythm():
    found = watched([gap * (2 if i % 10 == 0 else 1) for i, gap in enumerate(steps(0.01, 0.03))])
    assert found.looks < 2.5
    assert found.median < 1.5


@pytest.mark.parametrize("rate", [0.0, 0.01, 100.0])
def test_stamps_that_are_no_times_do_no_great_harm(rate):
    """A trainer's clock may stand still, creep or rush; then looks come as they do without a rhythm."""
    assert watched(steps(0.01, 0.05), rate=rate).median < 11.0


def _looks(cadence: Cadence, count: int, pace: str, company: int = 1) -> float:
    """Look ``count`` times when due and find nothing; the last interval."""
    interval = 0.0
    for _ in range(count):
        now = cadence.due
        cadence.looked(now, [], pace, company)  # type: ignore[arg-type]
        interval = cadence.due - now
    return round(interval, 6)


def test_slows_down_while_nothing_comes():
    """Up to a ceiling; a run that fell silent is looked at more rarely, however busy the engine says it is."""
    cadence = Cadence(100.0)
    assert cadence.due == 100.0
    assert _looks(cadence, 1, "calm") == SOON
    assert _looks(cadence, 12, "calm") == IDLE
    assert _looks(cadence, int(SILENT_AFTER / IDLE) + 2, "busy") == RESTING


def test_rests_when_the_run_is_over():
    """After the goodbye there is no hurry, until data comes again."""
    cadence = Cadence(0.0)
    assert _looks(cadence, 20, "ended") == RESTING
    now = cadence.due
    cadence.looked(now, [sample(1, 0.0)])
    assert cadence.due - now == pytest.approx(SOON)


def test_one_who_waits_for_us_does_not_wait_long():
    cadence = Cadence(0.0)
    assert _looks(cadence, 50, "lockstep") == SOON
    assert _looks(cadence, 1, "behind") == 0.0


def test_a_thousand_idle_runs_cost_no_more_than_forty():
    cadence = Cadence(0.0)
    assert _looks(cadence, 40, "ended", company=40) == 40 / IDLE_LOOKS
    assert _looks(cadence, 40, "ended", company=1000) == 1000 / IDLE_LOOKS
