"""All Alertmanagers there are: each is told everything, and none waits for another."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from trainguard_monitor.notifier.alert import Alert
from trainguard_monitor.notifier.courier import Courier, CourierView
from trainguard_monitor.notifier.endpoint import Endpoint
from trainguard_monitor.notifier.outgoing import Timing


class Notifier:
    """A `firing.Sink`. Works from `start` to `stop`."""

    def __init__(self, endpoints: Sequence[Endpoint], external_url: str, timing: Timing | None = None) -> None:
        """``external_url`` is where people find the status page."""
        link = _link_to(external_url)
        self._couriers = [Courier(endpoint, link, timing or Timing()) for endpoint in endpoints]

    def start(self) -> None:
        for courier in self._couriers:
            courier.start()

    def stop(self) -> None:
        for courier in self._couriers:
            courier.stop()

    def put(self, alert: Alert) -> None:
        for courier in self._couriers:
            courier.put(alert)

    def forget(self, run: str) -> None:
        for courier in self._couriers:
            courier.forget(run)

    def views(self) -> list[CourierView]:
        """From any thread."""
        return [courier.view() for courier in self._couriers]


def _link_to(external_url: str) -> Callable[[str], str]:
    base = external_url.rstrip("/")
    return lambda run: f"{base}/?run={quote(run, safe='')}"
