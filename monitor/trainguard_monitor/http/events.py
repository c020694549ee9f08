"""Server-sent events: what happens in one run or in all, as it happens.

``/api/v1/events`` and ``/api/v1/runs/{run}/events``; the parameter ``type`` chooses some of them. Records of the
journal come one by one, under their type; samples together, a few times a second, in the columns that
``.../samples`` has. A listener that does not keep up loses what is oldest, and is told so (``dropped``). A comment
comes when nothing else did for a while, so that a dead connection is noticed on either side.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trainguard_monitor.feed import Item, Listener, Word
from trainguard_monitor.http.envelope import ApiError, Query
from trainguard_monitor.recorded.chronicle import as_json
from trainguard_monitor.recorded.columns import Column
from trainguard_monitor.recorded.history import append, columns_as_json
from trainguard_monitor.views.table import Monitor
from trainguard_wire import CheckpointSaved, Goodbye, Hello, Sample

MOST_LISTENERS = 64
HEARTBEAT_SECONDS = 15.0
SAMPLES_SECONDS = 0.25
SAMPLES_POINTS = 32


class Events:
    """The routes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/events", self.of_all),
            Route("/api/v1/runs/{run}/events", self.of_one),
        ]

    async def of_all(self, request: Request) -> Response:
        return self._answer(request, None)

    async def of_one(self, request: Request) -> Response:
        run = request.path_params["run"]
        if self._monitor.directory_of(run) is None:
            raise ApiError(404, f"there is no run {run!r}")
        return self._answer(request, run)

    def _answer(self, request: Request, run: str | None) -> Response:
        feed = self._monitor.feed
        if feed.num_listeners >= MOST_LISTENERS:
            raise ApiError(503, f"{MOST_LISTENERS} listeners already: try again later")
        listener = Listener(feed, asyncio.get_running_loop(), run, Query(request).texts("type"))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_stream(listener), media_type="text/event-stream", headers=headers)


async def _stream(listener: Listener) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    with listener:
        yield b"retry: 2000\n: trainguard\n\n"
        samples_due = loop.time()
        while not listener.closed:
            patience = samples_due - loop.time() if listener.has_samples else HEARTBEAT_SECONDS
            if not await listener.wait(max(0.0, patience)) and not listener.has_samples:
                yield b": heartbeat\n\n"
            for event in _news(listener):
                yield event
            if listener.has_samples and loop.time() >= samples_due:
                for event in _samples(listener):
                    yield event
                samples_due = loop.time() + SAMPLES_SECONDS


def _news(listener: Listener) -> Iterator[bytes]:
    lost, news = listener.take_news()
    if any(lost):
        yield _event("dropped", {"events": lost.news, "samples": lost.samples})
    yield from map(_told, news)


def _told(item: Item) -> bytes:
    record, run = item.record, item.run
    if isinstance(record, Word):
        return _event(record.what, {"run": run} if run else {})
    plain: dict[str, Any] = (
        msgspec.to_builtins(record) if isinstance(record, Hello | CheckpointSaved | Goodbye) else as_json(record)
    )
    return _event(plain["type"], {"run": run} | plain)


def _samples(listener: Listener) -> Iterator[bytes]:
    """One event for each run that brought any."""
    by_run: dict[str, list[Sample]] = {}
    for run, sample in listener.take_samples():
        by_run.setdefault(run, []).append(sample)
    for run, samples in by_run.items():
        last = samples[-1]
        head = {"run": run, "step": last.step, "generation": last.generation, "epoch": last.epoch, "time": last.time}
        yield _event("samples", head | {"signals": _columns(samples)})


def _columns(samples: Iterable[Sample]) -> dict[str, Any]:
    columns: dict[str, Column] = {}
    append(columns, samples)
    return columns_as_json(columns, 0, 2**62, SAMPLES_POINTS)


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
