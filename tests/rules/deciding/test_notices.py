"""Alertmanager's notices: each alert once, in memory that is bounded."""

from trainguard_rules import Engine, load_text
from trainguard_rules.deciding.notices import MOST_OVER
from trainguard_wire import AlertNotice


def test_what_is_over_is_forgotten_in_time():
    """The last ones are known for as long as a late notice of theirs may come."""
    engine = Engine(load_text("groups: [{name: g, rules: [{guard: G, alert: {a: b}, actions: [{stop: {}}]}]}]"))

    def notice(number, status):
        return AlertNotice(fingerprint=f"f{number % 7}", starts_at=str(number), status=status, labels={"a": "b"})

    most = MOST_OVER + 50
    for number in range(most):
        assert engine.is_news(notice(number, "firing"))
        engine.feed(notice(number, "firing"))
        assert not engine.is_news(notice(number, "firing"))
        engine.feed(notice(number, "resolved"))
    notices = engine._notices
    assert len(notices._over) == MOST_OVER
    assert notices._firing == {}
    for number in range(most - 10, most):
        assert not engine.is_news(notice(number, "firing")), "a repetition that comes late"
        assert not engine.is_news(notice(number, "resolved"))


def test_an_alert_that_begins_anew_ends_the_one_before():
    """What is said of the first is no news any more."""
    engine = Engine(load_text("groups: [{name: g, rules: [{guard: G, alert: {a: b}, actions: [{stop: {}}]}]}]"))
    first, second = (AlertNotice(fingerprint="f", starts_at=at, status="firing", labels={"a": "b"}) for at in "12")
    engine.feed(first)
    engine.feed(second)
    assert not engine.is_news(first)
    assert not engine.is_news(AlertNotice(fingerprint="f", starts_at="1", status="resolved", labels={"a": "b"}))
    assert engine.is_news(AlertNotice(fingerprint="f", starts_at="2", status="resolved", labels={"a": "b"}))
