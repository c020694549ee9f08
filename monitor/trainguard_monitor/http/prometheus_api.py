"""Prometheus's own paths: ``/metrics``, ``/-/healthy``, ``/-/ready``, ``/api/v1/rules`` and ``/api/v1/alerts``.

Their answers have Prometheus's form, so that whatever reads Prometheus reads them: a guard is an alerting rule, and
the runs it is pending or firing in are its alerts, told apart by the label ``run``.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trainguard_monitor.http.envelope import Query, success
from trainguard_monitor.metrics.collector import MonitorCollector
from trainguard_monitor.metrics.exposition import open_metrics, plain_text
from trainguard_monitor.notifier.alert import labels_of
from trainguard_monitor.notifier.metrics import NotifierCollector
from trainguard_monitor.notifier.notifier import Notifier
from trainguard_monitor.times import NEVER, rfc3339
from trainguard_monitor.views.table import Monitor, RunView
from trainguard_rules import Rule, RuleDetail
from trainguard_rules.durations import Duration
from trainguard_wire.journal import AlertState

_LOUDEST: tuple[AlertState, ...] = ("firing", "pending")


class PrometheusApi:
    """The routes."""

    def __init__(self, monitor: Monitor, notifier: Notifier | None = None) -> None:
        self._monitor = monitor
        self._collector = MonitorCollector(monitor)
        self._others: list[Collector] = [ProcessCollector(registry=None)]
        if notifier is not None:
            self._others.append(NotifierCollector(notifier))

    def routes(self) -> list[Route]:
        return [
            Route("/metrics", self.metrics),
            Route("/-/healthy", self.healthy),
            Route("/-/ready", self.ready),
            Route("/api/v1/rules", self.rules),
            Route("/api/v1/alerts", self.alerts),
        ]

    async def metrics(self, request: Request) -> Response:
        """As the request accepts it: OpenMetrics, which has exemplars, or plain text."""
        _, content_type = choose_encoder(request.headers.get("accept", ""))
        write = plain_text if content_type.startswith("text/plain") else open_metrics
        body = await run_in_threadpool(write, self._collector, *self._others)
        return Response(body, headers={"content-type": content_type})

    async def healthy(self, _: Request) -> Response:
        return PlainTextResponse("trainguard is healthy.\n")

    async def ready(self, _: Request) -> Response:
        if self._monitor.ready:
            return PlainTextResponse("trainguard is ready.\n")
        return PlainTextResponse("trainguard is not ready.\n", status_code=503)

    async def rules(self, request: Request) -> Response:
        query = Query(request)
        names, groups, files = query.texts("rule_name[]"), query.texts("rule_group[]"), query.texts("file[]")
        with_alerts = not query.flag("exclude_alerts")
        if "record" in query.texts("type"):  # we have none of those
            return success({"groups": []})
        rules = [
            rule
            for rule in self._monitor.rules().book.rules
            if (not names or rule.name in names)
            and (not groups or rule.group in groups)
            and (not files or rule.file in files)
        ]
        return success({"groups": list(_groups(rules, self._monitor.runs(), self._alerts(), with_alerts=with_alerts))})

    async def alerts(self, _: Request) -> Response:
        return success({"alerts": [alert for alerts in self._alerts().values() for alert in alerts]})

    def _alerts(self) -> dict[str, list[dict[str, Any]]]:
        """By rule, of every run in which it is pending or firing."""
        found: dict[str, list[dict[str, Any]]] = {}
        for view in self._monitor.runs():
            if all(status.state == "inactive" for status in view.rules):
                continue
            detail = self._monitor.run_detail(view.run)
            for rule in detail.rules if detail is not None else ():
                if rule.status.state != "inactive":
                    found.setdefault(rule.rule.name, []).append(_alert(view.run, rule))
        return found


def _groups(
    rules: Iterable[Rule], runs: list[RunView], alerts: dict[str, list[dict[str, Any]]], *, with_alerts: bool
) -> Iterator[dict[str, Any]]:
    statuses: dict[str, list[tuple[int, int]]] = {}
    for view in runs:
        for status in view.rules:
            statuses.setdefault(status.name, []).append((status.evaluations, status.unknown))
    last = max((view.last_sample for view in runs if view.last_sample is not None), default=None)
    seen = {"evaluationTime": 0, "lastEvaluation": NEVER if last is None else rfc3339(last)}
    for (file, group), members in groupby(rules, key=lambda rule: (rule.file, rule.group)):
        shown = [_rule(rule, statuses.get(rule.name, []), alerts.get(rule.name, [])) | seen for rule in members]
        if not with_alerts:
            for rule in shown:
                del rule["alerts"]
        yield {"name": group, "file": file, "interval": 0, "limit": 0, "rules": shown} | seen


def _rule(rule: Rule, counts: list[tuple[int, int]], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    states = {alert["state"] for alert in alerts}
    evaluations, unknown = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return {
        "state": next((state for state in _LOUDEST if state in states), "inactive"),
        "name": rule.name,
        "query": rule.source,
        "duration": _seconds(rule.for_),
        "keepFiringFor": _seconds(rule.keep_firing_for),
        "labels": rule.labels,
        "annotations": rule.annotations,
        "alerts": alerts,
        "health": "unknown" if not evaluations or unknown == evaluations else "ok",
        "type": "alerting",
    }


def _alert(run: str, rule: RuleDetail) -> dict[str, Any]:
    status = rule.status
    return {
        "labels": labels_of(run, rule),
        "annotations": rule.annotations,
        "state": status.state,
        "activeAt": NEVER if status.since_time is None else rfc3339(status.since_time),
        "value": "NaN" if status.value is None else scientific(status.value),
    }


def _seconds(duration: Duration) -> int:
    """Prometheus counts in seconds; what is counted in steps or epochs has none."""
    return duration.amount if duration.unit == "seconds" else 0


def scientific(value: float) -> str:
    """A finite number as Prometheus writes one: the shortest that reads back the same, ``1e+02``."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    power = exponent + len(digits) - 1 if any(digits) else 0
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
