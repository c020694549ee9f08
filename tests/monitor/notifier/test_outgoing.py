"""What one Alertmanager has to be told, with time stepped by hand."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_monitor.notifier.alert import Alert
from trainguard_monitor.notifier.outgoing import MOST_IN_A_REQUEST, Outgoing, Timing

TIMING = Timing(resend=60.0, hold=30.0, first_retry=1.0, last_retry=8.0)


def alert(rule: str = "A", *, run: str = "a", since: float = 100.0, over: float | None = None) -> Alert:
    return Alert(run=run, rule=rule, labels={"alertname": rule}, annotations={}, since=since, over=over)


def outgoing(capacity: int = 1000) -> Outgoing:
    return Outgoing(TIMING, capacity, lambda: 1.0)


def told(to: Outgoing, now: float, wall: float = 1000.0) -> list[tuple[str, float | None]]:
    """Take a batch and deliver it; the rules told of, and their ends."""
    batch = to.take(now, wall)
    if batch:
        to.delivered(now, wall)
    return [(telling.alert.rule, telling.ends_at) for telling in batch]


def test_an_alert_is_told_at_once_and_again_while_it_fires():
    to = outgoing()
    assert to.wait(0.0) is None
    to.put(alert())
    assert to.wait(0.0) == 0.0
    assert told(to, 0.0) == [("A", None)]
    assert to.wait(0.0) == TIMING.resend
    assert told(to, TIMING.resend - 0.1) == []
    assert told(to, TIMING.resend) == [("A", None)]
    assert told(to, 2 * TIMING.resend) == [("A", None)]


def test_an_alert_that_is_over_is_told_once():
    to = outgoing()
    to.put(alert())
    told(to, 0.0, wall=1000.0)
    to.put(alert(over=2000.0))
    assert told(to, 50.0, wall=2000.0) == [("A", 2000.0)]
    assert to.wait(50.0) is None
    assert told(to, 1000.0) == []


@pytest.mark.parametrize("told_in_between", [True, False])
def test_a_short_incident_lasts_long_enough_to_be_noticed(told_in_between):
    """It ends a while after it was first told, in the same request even."""
    to = outgoing()
    to.put(alert())
    if told_in_between:
        assert told(to, 0.0, wall=1000.0) == [("A", None)]
    to.put(alert(over=1000.002))
    assert told(to, 0.01, wall=1000.01) == [("A", (1000.0 if told_in_between else 1000.01) + TIMING.hold)]


def test_an_end_is_never_before_the_beginning():
    """A trainer's clock may be far ahead; Alertmanager refuses what ends before it begins."""
    to = outgoing()
    to.put(alert(since=9000.0, over=8000.0))
    [(_, end)] = told(to, 0.0, wall=1000.0)
    assert end is not None
    assert end > 9000.0


def test_failures_wait_longer_each_time_up_to_a_limit():
    to, now, waits = outgoing(), 0.0, []
    to.put(alert())
    for _ in range(6):
        assert len(to.take(now, 0.0)) == 1
        to.failed(now)
        wait = to.wait(now)
        assert wait is not None
        assert to.take(now + wait * 0.99, 0.0) == []
        waits.append(wait)
        now += wait
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert told(to, now) == [("A", None)]
    to.put(alert("B"))
    assert to.wait(now) == 0.0


def test_jitter_spreads_the_waits_over_their_upper_half():
    to = Outgoing(TIMING, 10, lambda: 0.0)
    to.put(alert())
    to.take(0.0, 0.0)
    to.failed(0.0)
    assert to.wait(0.0) == 0.5


def test_newer_word_takes_the_place_of_what_failed():
    to = outgoing()
    to.put(alert("A"))
    to.put(alert("B"))
    to.take(0.0, 0.0)
    to.put(alert("A", over=200.0))
    to.failed(0.0)
    assert told(to, 10.0, wall=1000.0) == [("B", None), ("A", 1030.0)]


def test_the_oldest_is_dropped_and_counted():
    to = outgoing(capacity=2)
    for rule in "ABC":
        to.put(alert(rule))
    to.put(alert("C"))  # no second place for what waits already
    assert (to.dropped, len(to)) == (1, 2)
    assert told(to, 0.0) == [("B", None), ("C", None)]


def test_what_is_wrong_with_one_alert_does_not_cost_the_others():
    """A refused request is sent again in single alerts; a refused alert is not sent again."""
    to, now, sent, refused = outgoing(), 0.0, [], 0
    for rule in ("A", "bad", "C"):
        to.put(alert(rule))
    while to.wait(now) is not None and len(sent) < 2:
        now += to.wait(now) or 0.0
        batch = [telling.alert.rule for telling in to.take(now, 0.0)]
        if "bad" in batch:
            to.refused(now)
            refused += 1
        else:
            to.delivered(now, 0.0)
            sent += batch
    assert (sent, refused, len(to)) == (["A", "C"], 2, 0)
    assert sorted(told(to, now + TIMING.resend)) == [("A", None), ("C", None)]


def test_requests_are_of_a_bounded_size():
    to = outgoing()
    for i in range(MOST_IN_A_REQUEST + 1):
        to.put(alert(f"R{i}"))
    assert [len(told(to, 0.0)) for _ in range(3)] == [MOST_IN_A_REQUEST, 1, 0]


def test_what_was_forgotten_is_not_told_again():
    """Not of those that stand, not of those under way."""
    to = outgoing()
    to.put(alert("A"))
    told(to, 0.0)
    to.put(alert("B"))
    to.put(alert("C", run="b"))
    to.take(1.0, 0.0)
    to.forget("a")
    to.delivered(1.0, 0.0)
    assert told(to, TIMING.resend + 1) == [("C", None)]


NEWS = st.lists(st.tuples(st.sampled_from("ABC"), st.booleans(), st.sampled_from(["ok", "fail", "none"])), max_size=40)


@given(NEWS)
def test_alertmanager_comes_to_know_what_is_true(news: Iterable[tuple[str, bool, str]]):
    """Whatever fails in between: in the end it knows of each alert that fires, and of no other."""
    to, now, known, true = outgoing(), 0.0, {}, {}

    def send(how: str) -> None:
        batch = to.take(now, 0.0)
        if batch and how == "ok":
            known.update({t.alert.rule: t.ends_at is None for t in batch})
            to.delivered(now, 0.0)
        elif batch:
            to.failed(now)

    for rule, fires, how in news:
        to.put(alert(rule, over=None if fires else 200.0))
        true[rule] = fires
        if how != "none":
            send(how)
        now += 10.0
    for _ in range(3):
        send("ok")
        now += 10.0
    assert known == true
