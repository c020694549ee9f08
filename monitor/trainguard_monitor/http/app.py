"""The HTTP surface as an ASGI application, over the monitor's view and nothing else."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from trainguard_monitor.http.envelope import defect, failure
from trainguard_monitor.http.events import Events
from trainguard_monitor.http.prometheus_api import PrometheusApi
from trainguard_monitor.http.reading import Reading
from trainguard_monitor.table import Monitor


def build_app(monitor: Monitor) -> Starlette:
    """The application that shows ``monitor``."""
    return Starlette(
        routes=[*PrometheusApi(monitor).routes(), *Reading(monitor).routes(), *Events(monitor).routes()],
        exception_handlers={HTTPException: failure, Exception: defect},
    )
