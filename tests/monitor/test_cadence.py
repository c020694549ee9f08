"""Adaptive polling, with time stepped by hand."""

from trainguard_monitor.cadence import IDLE, MOST_IDLE_LOOKS, RESTING, SILENT_AFTER, SOON, Cadence


def _looks(cadence: Cadence, count: int, **what: int) -> float:
    """Look ``count`` times when due, and return the last interval."""
    interval = 0.0
    for _ in range(count):
        now = cadence.due
        cadence.looked(now, **{"progressed": False, "busy": False, "ended": False, **what})
        interval = cadence.due - now
    return round(interval, 6)


def test_slows_down_while_nothing_comes_and_hurries_when_it_does() -> None:
    """The interval doubles up to a ceiling, and data brings it back at once."""
    cadence = Cadence(100.0)
    assert cadence.due == 100.0
    assert _looks(cadence, 1) == 2 * SOON
    assert _looks(cadence, 1) == 4 * SOON
    assert _looks(cadence, 10) == IDLE
    assert _looks(cadence, 1, progressed=True) == SOON


def test_stays_quick_while_the_engine_is_busy() -> None:
    """A pending rule or an intervention in flight wants a prompt look, as long as the trainer shows life."""
    cadence = Cadence(0.0)
    assert _looks(cadence, 100, busy=True) == SOON
    assert _looks(cadence, int(SILENT_AFTER / SOON) + 200, busy=True) == RESTING


def test_rests_when_the_run_is_over() -> None:
    """After the goodbye there is no hurry, until data comes again."""
    cadence = Cadence(0.0)
    assert _looks(cadence, 20, ended=True, busy=True) == RESTING
    assert _looks(cadence, 1, progressed=True) == SOON


def test_many_idle_runs_cost_no_more_than_a_few() -> None:
    """Each is looked at less often; one that brings data is as quick as ever."""
    cadence = Cadence(0.0)
    assert _looks(cadence, 20, company=10) == IDLE
    assert _looks(cadence, 20, company=2000) == round(2000 / MOST_IDLE_LOOKS, 6)
    assert _looks(cadence, 1, company=2000, progressed=True) == SOON
