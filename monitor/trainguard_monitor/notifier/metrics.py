"""What Prometheus reads of the notifier: made from its counts at each scrape. Labels are addresses from the command
line, without passwords, and a closed set of reasons.
"""

from collections.abc import Iterable, Iterator
from typing import get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from trainguard_monitor.metrics.collector import cumulated
from trainguard_monitor.notifier.endpoint import Reason
from trainguard_monitor.notifier.notifier import Notifier

LABELS = ("alertmanager",)


class NotifierCollector(Collector):
    """Turns the notifier's counts into metric families."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def describe(self) -> Iterable[Metric]:
        return ()  # or registering would collect

    def collect(self) -> Iterator[Metric]:
        views = self._notifier.views()
        if not views:
            return
        sent = CounterMetricFamily("trainguard_notifications", "Alerts that Alertmanager took.", labels=LABELS)
        failed = CounterMetricFamily(
            "trainguard_notifications_failed",
            "Alerts in requests that failed; all but those refused are sent again.",
            labels=(*LABELS, "reason"),
        )
        dropped = CounterMetricFamily(
            "trainguard_notifications_dropped", "Alerts that the queue had no room for.", labels=LABELS
        )
        queued = GaugeMetricFamily("trainguard_notifications_queue_length", "Alerts that wait.", labels=LABELS)
        capacity = GaugeMetricFamily(
            "trainguard_notifications_queue_capacity", "How many alerts may wait.", labels=LABELS
        )
        seconds = HistogramMetricFamily(
            "trainguard_notifications_latency_seconds", "From a request to Alertmanager to its answer.", labels=LABELS
        )
        for view in views:
            name = [view.alertmanager]
            sent.add_metric(name, view.sent)
            dropped.add_metric(name, view.dropped)
            queued.add_metric(name, view.queued)
            capacity.add_metric(name, view.capacity)
            for reason in get_args(Reason):
                failed.add_metric([*name, reason], view.failed.get(reason, 0))
            seconds.add_metric(name, list(cumulated(view.seconds)), view.seconds.total)
        yield from (sent, failed, dropped, queued, capacity, seconds)
