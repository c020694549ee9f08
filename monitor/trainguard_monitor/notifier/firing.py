"""The guards that fire in one run: when one begins to, when it is over.

Looked at after each record on which a rule changed its state, so that no incident is missed, however short: one that a
restore ends two milliseconds later was an incident all the same. What came and went before this monitor followed the
run is history. Times are the trainer's, so a monitor that is started again says of an alert that still fires what the
one before said.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from trainguard_monitor.notifier.alert import Alert
from trainguard_rules import Engine
from trainguard_wire import Derived, Transition


class Sink(Protocol):
    """Who wants to know: a `notifier.Notifier`. Called from the daemon's thread, and must not wait."""

    def put(self, alert: Alert) -> None:
        """It fires, or is over."""

    def forget(self, run: str) -> None:
        """Nothing is known of this run any more: say no more of its alerts."""


class Firing:
    """Of one run. Without a ``sink`` nothing is done at all."""

    def __init__(self, run: str, sink: Sink | None) -> None:
        self._run, self._sink = run, sink
        self._alerts: dict[str, Alert] = {}

    def follow(self, derived: Iterable[Derived], engine: Engine) -> None:
        """Something followed from a record."""
        times = [record.time for record in derived if isinstance(record, Transition)]
        if times:
            self.look(engine, times[-1])

    def look(self, engine: Engine, time: float) -> None:
        """Compare what fires with what did; what does not any more is over since ``time``."""
        if self._sink is None:
            return
        firing = [detail for detail in engine.details() if detail.status.state == "firing"]
        now = {detail.rule.name: Alert.of(self._run, detail) for detail in firing}
        for name, alert in list(self._alerts.items()):
            if name not in now or now[name].since != alert.since:
                self._end(name, time)
        for name, alert in now.items():
            if name not in self._alerts:
                self._alerts[name] = alert
                self._sink.put(alert)

    def end(self, time: float) -> None:
        """The training is over, or its run is gone."""
        for name in list(self._alerts):
            self._end(name, time)

    def let_go(self) -> None:
        """The run can't be followed; what fires there may go on or not."""
        if self._sink is not None and self._alerts:
            self._sink.forget(self._run)
        self._alerts.clear()

    def _end(self, name: str, time: float) -> None:
        assert self._sink is not None
        self._sink.put(replace(self._alerts.pop(name), over=time))
