"""The HTTP surface as an ASGI application, over the monitor's view and nothing else.

Prometheus's own paths: ``/metrics``, ``/-/healthy`` (the process answers), ``/-/ready`` (rules are loaded and
runs are followed).
"""

from collections.abc import Awaitable, Callable

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trainguard_monitor.metrics import build_registry
from trainguard_monitor.table import Monitor

_Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(monitor: Monitor) -> Starlette:
    """The application that shows ``monitor``."""
    return Starlette(
        routes=[
            Route("/metrics", _metrics(monitor)),
            Route("/-/healthy", _healthy),
            Route("/-/ready", _ready(monitor)),
        ]
    )


def _metrics(monitor: Monitor) -> _Endpoint:
    registry = build_registry(monitor)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return metrics


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("trainguard is healthy.\n")


def _ready(monitor: Monitor) -> _Endpoint:
    async def ready(_: Request) -> Response:
        if monitor.ready:
            return PlainTextResponse("trainguard is ready.\n")
        return PlainTextResponse("trainguard is not ready.\n", status_code=503)

    return ready
