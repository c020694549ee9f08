"""``/api/v1/runs`` and what is below it, as far as it only reads.

What the daemon knows is asked of its snapshots; samples and the journal are read from the files of the run, in a
worker thread (`shelf`). A run that another monitor drives can be read all the same. Reading may take long: it gets a
few of the threads that there are, so that `/metrics` is never without one.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trainguard_monitor.http.envelope import ApiError, Query, success
from trainguard_monitor.numbers import number
from trainguard_monitor.recorded.chronicle import Chronicle, as_json
from trainguard_monitor.recorded.history import History
from trainguard_monitor.recorded.shelf import Shelf
from trainguard_monitor.views.course import goodbye_as_json, layers_as_json
from trainguard_monitor.views.health import health_of
from trainguard_monitor.views.table import Monitor, RulesView, RunDetail, RunView
from trainguard_rules import RuleDetail
from trainguard_rules.rulebook import PlannedAction
from trainguard_wire import Intervention, RunDirectory, RunDirectoryError

FURTHEST = 2**53
MOST_POINTS = 20_000
MOST_RECORDS = 10_000
MOST_READERS = 8  # of samples, and of journals; the worker threads are 40


class Reading:
    """The routes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._shelf = Shelf()
        self._of_samples, self._of_journals = asyncio.Semaphore(MOST_READERS), asyncio.Semaphore(MOST_READERS)

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/runs", self.runs),
            Route("/api/v1/runs/{run}", self.run),
            Route("/api/v1/runs/{run}/samples", self.samples),
            Route("/api/v1/runs/{run}/interventions", self.interventions),
            Route("/api/v1/runs/{run}/timeline", self.timeline),
        ]

    async def runs(self, _: Request) -> Response:
        severities = _severities(self._monitor.rules())
        return success([_summary(view, severities) for view in self._monitor.runs()])

    async def run(self, request: Request) -> Response:
        detail = self._monitor.run_detail(request.path_params["run"])
        if detail is None:
            raise _no_run(request)
        info = await run_in_threadpool(_info, detail.directory)
        return success(_detail(detail, self._monitor.rules()) | {"info": info})

    async def samples(self, request: Request) -> Response:
        query = Query(request)
        signals = query.texts("signal")
        first = query.integer("from", 0, -FURTHEST, FURTHEST)
        last = query.integer("to", FURTHEST, 0, FURTHEST)
        most = query.integer("points", 1000, 2, MOST_POINTS) // 2 * 2

        def read(history: History) -> dict[str, Any]:
            begin = first if first >= 0 else max(0, history.last_step + 1 + first)
            wanted = signals or history.signals
            return {
                "run": history.run.name,
                "last_step": history.last_step,
                "generations": [{"generation": g, "first_step": s} for g, s in history.generations],
                "signals": history.read(wanted, begin, last, most),
            }

        async with self._of_samples:
            return success(await self._read(request, self._shelf.history, read))

    async def interventions(self, request: Request) -> Response:
        most = Query(request).integer("limit", 500, 1, MOST_RECORDS)

        def read(chronicle: Chronicle) -> list[dict[str, Any]]:
            return chronicle.interventions(most)

        async with self._of_journals:
            return success(await self._read(request, self._shelf.chronicle, read))

    async def timeline(self, request: Request) -> Response:
        query = Query(request)
        kinds = query.texts("type")
        first = query.integer("from", 0, 0, FURTHEST)
        last = query.integer("to", FURTHEST, 0, FURTHEST)
        most = query.integer("limit", 1000, 1, MOST_RECORDS)

        def read(chronicle: Chronicle) -> list[dict[str, Any]]:
            return chronicle.timeline(kinds, first, last, most)

        async with self._of_journals:
            return success(await self._read(request, self._shelf.chronicle, read))

    async def _read(self, request: Request, shelf: Any, read: Any) -> Any:
        run = self._monitor.directory_of(request.path_params["run"])
        if run is None:
            raise _no_run(request)
        try:
            return await run_in_threadpool(shelf, run, read)
        except OSError as error:
            raise ApiError(503, f"run {run.name!r} can't be read: {error.strerror or error}") from None


def _no_run(request: Request) -> ApiError:
    return ApiError(404, f"there is no run {request.path_params['run']!r}")


def _info(run: RunDirectory) -> Any:
    """``run.json``; None where it can't be read."""
    try:
        return msgspec.to_builtins(run.read_info())
    except RunDirectoryError:
        return None


def _severities(rules: RulesView) -> dict[str, str]:
    return {rule.name: rule.labels.get("severity", "") for rule in rules.book.rules}


def _summary(view: RunView, severities: Mapping[str, str]) -> dict[str, Any]:
    decisions: dict[str, int] = {}
    for (_, verdict), count in view.decisions.items():
        decisions[verdict] = decisions.get(verdict, 0) + count
    actions: dict[str, int] = {}
    for (_, status), count in view.actions.items():
        actions[status] = actions.get(status, 0) + count
    shown = {
        "run": view.run,
        "state": view.state,
        "step": view.step,
        "epoch": view.epoch,
        "generation": view.generation,
        "last_sample": view.last_sample,
        "last_record": view.last_record,
        "paused_since": view.paused_since,
        "goodbye": goodbye_as_json(view.goodbye),
        "rules_sha256": view.rules_sha256,
        "signals": {name: number(value) for name, value in sorted(view.signals.items())},
        "nonfinite": {name: count for name, count in sorted(view.nonfinite.items()) if count},
        "firing": [status.name for status in view.rules if status.state == "firing"],
        "pending": [status.name for status in view.rules if status.state == "pending"],
        "decisions": decisions,
        "actions": actions,
        "last_decision": None if view.last_decision is None else as_json(view.last_decision),
        "waiting": list(view.requests),
    }
    return shown | {"health": health_of(shown, severities, time.time())._asdict()}


def _detail(detail: RunDetail, rules: RulesView) -> dict[str, Any]:
    return _summary(detail.view, _severities(rules)) | {
        "layers": layers_as_json(detail.view.layers),
        "rules": [_rule(rule) for rule in detail.rules],
        "expectations": [
            {
                "name": expectation.name,
                "group": expectation.group,
                "expr": expectation.when.source,
                "within": str(expectation.within),
                "status": _reached(detail.view, expectation.name),
                "labels": expectation.labels,
                "annotations": expectation.annotations,
            }
            for expectation in rules.book.expectations
        ],
        "requests": [_intervention(request) for request in detail.requests],
        "in_flight": [_intervention(intervention) for intervention in detail.in_flight],
    }


def _rule(detail: RuleDetail) -> dict[str, Any]:
    rule, status = detail.rule, detail.status
    return {
        "name": rule.name,
        "group": rule.group,
        "file": rule.file,
        "state": status.state,
        "since_step": status.since_step,
        "since_time": status.since_time,
        "expr": rule.source,
        "for": str(rule.for_),
        "value": status.value,
        "threshold": detail.threshold,
        "mode": rule.mode,
        "actions": [_planned(action) for action in rule.actions],
        "cooldown": str(rule.cooldown),
        "cooldown_left": detail.cooldown_left,
        "limit": None if rule.limit is None else str(rule.limit),
        "limit_left": detail.limit_left,
        "last_decision": None if detail.decided is None else msgspec.to_builtins(detail.decided),
        "evaluations": status.evaluations,
        "unknown": status.unknown,
        "labels": rule.labels,
        "annotations": detail.annotations,
    }


def _planned(action: PlannedAction) -> dict[str, Any]:
    return {"kind": action.kind, "params": action.model.params()}


def _reached(view: RunView, name: str) -> str:
    if view.expectations.get((name, "true")):
        return "met"
    return "missed" if view.expectations.get((name, "false")) else "waiting"


def _intervention(intervention: Intervention) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(intervention)
    del plain["type"]
    return plain
