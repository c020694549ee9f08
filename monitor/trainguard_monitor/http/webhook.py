"""``POST /api/v1/alertmanager``: Alertmanager's webhook, version 4, to the rules that wait for alerts.

Alertmanager sends again what was answered with 5xx, soon; what was answered with 4xx, too, only later; and from time to
time whatever fires. So the answer is 200 with what became of each alert, also where nothing did, and 503 where trying
again will help: then all of them come again, so all that can be is taken in first. Everything may come twice: an alert
is known by its fingerprint and when it began. Fields that we do not know are passed over; Grafana, which speaks the
same, sends some.
"""

import asyncio
import hashlib
import logging
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trainguard_monitor.http.changing import parse, when_taken
from trainguard_monitor.http.envelope import ApiError, success
from trainguard_monitor.http.security import Door, read_json
from trainguard_monitor.views.table import Monitor, Taken
from trainguard_wire import AlertNotice, Decision

log = logging.getLogger(__name__)

MOST_ALERTS = 1000
_LATER = ("behind", "unwritten")
_LATER_BY_NAME = (*_LATER, "failed")  # who says all runs need not wait for one that may never be followed


class _Alert(Struct, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str
    annotations: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""


class _Webhook(Struct):
    version: Literal["4", "1"]  # Alertmanager's, Grafana's
    alerts: Annotated[list[_Alert], Meta(max_length=MOST_ALERTS)]
    truncated_alerts: int = field(default=0, name="truncatedAlerts")


class Webhook:
    """The route."""

    def __init__(self, monitor: Monitor, door: Door) -> None:
        self._monitor, self._door = monitor, door

    def routes(self) -> list[Route]:
        return [Route("/api/v1/alertmanager", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        self._door.admit(request, busy=503)
        webhook = parse(_Webhook, await read_json(request))
        if webhook.truncated_alerts:
            log.warning(
                "Alertmanager left out %d alerts, by its max_alerts: let fewer be in a group", webhook.truncated_alerts
            )
        told = [await self._take(alert) for alert in webhook.alerts]
        waiting = {run for alert in told for run in _waiting(alert)}
        if waiting:
            raise ApiError(503, f"can't be taken in just now by {', '.join(sorted(waiting))}: try again")
        return success(told)

    async def _take(self, alert: _Alert) -> dict[str, Any]:
        notice = AlertNotice(
            fingerprint=alert.fingerprint or _fingerprint(alert.labels),
            starts_at=alert.starts_at,
            status=alert.status,
            labels=alert.labels,
            annotations=alert.annotations,
        )
        runs = [alert.labels["run"]] if "run" in alert.labels else self._going_on()
        taken = await asyncio.gather(*(when_taken(self._monitor.take_in(run, notice)) for run in runs))
        return {
            "fingerprint": notice.fingerprint,
            "status": notice.status,
            "labels": notice.labels,
            "runs": [_became(run, one) for run, one in zip(runs, taken, strict=True)],
        }

    def _going_on(self) -> list[str]:
        return [view.run for view in self._monitor.runs() if view.state in ("driven", "failed")]


def _waiting(alert: dict[str, Any]) -> list[str]:
    later = _LATER_BY_NAME if "run" in alert["labels"] else _LATER
    return [run["run"] for run in alert["runs"] if run["outcome"] in later]


def _became(run: str, taken: Taken | None) -> dict[str, Any]:
    if taken is None:
        return {"run": run, "outcome": "no_run", "decisions": []}
    decisions = [record for record in taken.derived if isinstance(record, Decision)]
    return {
        "run": run,
        "outcome": taken.how,
        "decisions": [
            {"rule": d.rule, "verdict": d.verdict, "reason": d.reason, "intervention": d.intervention}
            for d in decisions
        ],
    }


def _fingerprint(labels: dict[str, str]) -> str:
    """For senders that leave it out: labels tell an alert from another."""
    return hashlib.sha256(msgspec.json.encode(labels, order="sorted")).hexdigest()[:16]
