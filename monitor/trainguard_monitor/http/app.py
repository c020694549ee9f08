"""The HTTP surface as an ASGI application, over the monitor's view and its inbox, and nothing else."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from trainguard_monitor.http.changing import Changing, Reload
from trainguard_monitor.http.envelope import defect, failure
from trainguard_monitor.http.events import Events
from trainguard_monitor.http.openapi import OpenApi
from trainguard_monitor.http.page import Page
from trainguard_monitor.http.prometheus_api import PrometheusApi
from trainguard_monitor.http.reading import Reading
from trainguard_monitor.http.security import Door, LoopbackNames
from trainguard_monitor.http.webhook import Webhook
from trainguard_monitor.notifier.notifier import Notifier
from trainguard_monitor.views.table import Monitor


def build_app(
    monitor: Monitor,
    *,
    door: Door | None = None,
    reload: Reload | None = None,
    loopback: str | None = None,
    notifier: Notifier | None = None,
) -> Starlette:
    """The application that shows ``monitor``, and changes things for whoever the ``door`` lets in: nobody by default.

    ``reload`` loads the rules anew and says why not, where they are no good. ``loopback`` is the address the
    application is served at, where that is one of loopback: then it answers to loopback's names only. ``notifier`` is
    shown with the metrics.
    """
    door = door or Door()
    return Starlette(
        routes=[
            *PrometheusApi(monitor, notifier).routes(),
            *Reading(monitor).routes(),
            *Events(monitor).routes(),
            *Changing(monitor, door, reload).routes(),
            *Webhook(monitor, door).routes(),
            *OpenApi().routes(),
            *Page().routes(),
        ],
        middleware=[] if loopback is None else [Middleware(LoopbackNames, host=loopback)],
        exception_handlers={HTTPException: failure, Exception: defect},
    )
