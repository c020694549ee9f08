"""What changes something: orders, answers to requests, a reload. Behind the `security.Door`, all of it.

A route makes an input of what it was sent and has the daemon take it in; nothing is done to a run from here.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trainguard_monitor import __version__
from trainguard_monitor.http.envelope import ApiError, success
from trainguard_monitor.http.security import Door, read_json
from trainguard_monitor.recorded.chronicle import as_json
from trainguard_monitor.views.table import Monitor, Taken
from trainguard_rules.rulefile.planning import read_actions
from trainguard_wire import Action, Approval, Decision, Input, Order

PATIENCE_SECONDS = 10.0
Reload = Callable[[], str | None]

By = Annotated[str, Meta(min_length=1, max_length=200)]
_Body = TypeVar("_Body", bound=Struct)


class OrderBody(Struct, forbid_unknown_fields=True):
    """Actions as in a rule file. The ``id`` makes it safe to send an order again."""

    actions: Annotated[list[Any], Meta(min_length=1, max_length=16)]
    by: By = "api"
    reason: Annotated[str, Meta(max_length=1000)] = ""
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = None


class AnswerBody(Struct, forbid_unknown_fields=True):
    approved: bool
    by: By = "api"


class Changing:
    """The routes. ``reload`` loads the rules anew, and says why not where they are no good."""

    def __init__(self, monitor: Monitor, door: Door, reload: Reload | None) -> None:
        self._monitor, self._door, self._reload = monitor, door, reload

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/monitor", self.monitor),
            Route("/-/reload", self.reload, methods=["POST"]),
            Route("/api/v1/runs/{run}/actions", self.order, methods=["POST"]),
            Route("/api/v1/runs/{run}/approvals/{id}", self.approve, methods=["POST"]),
        ]

    async def monitor(self, _: Request) -> Response:
        """Whether there is a way in at all, so that nobody has to knock to find out."""
        return success({"version": __version__, "takes_orders": self._door.is_open})

    async def reload(self, request: Request) -> Response:
        self._door.admit(request)
        if self._reload is None:
            raise ApiError(503, "this monitor was not told where its rules come from")
        reason = await run_in_threadpool(self._reload)
        if reason is not None:
            return PlainTextResponse(f"rules not loaded, those in force stay:\n{reason}\n", status_code=500)
        return PlainTextResponse("rules loaded.\n")

    async def order(self, request: Request) -> Response:
        self._door.admit(request)
        body = parse(OrderBody, await read_json(request))
        try:
            planned = read_actions(body.actions)
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        order = Order(
            id=body.id or secrets.token_hex(8),
            actions=tuple(Action(id="", kind=action.kind, params=action.model.params()) for action in planned),
            by=body.by,
            reason=body.reason,
        )
        taken = await self._take_in(request, order)
        [decision] = [record for record in taken.derived if isinstance(record, Decision)]
        return success({"id": order.id, "known": taken.how == "known", "decision": as_json(decision)})

    async def approve(self, request: Request) -> Response:
        self._door.admit(request)
        body = parse(AnswerBody, await read_json(request))
        asked = request.path_params["id"]
        taken = await self._take_in(request, Approval(intervention=asked, approved=body.approved, by=body.by))
        if taken.how == "known":
            raise ApiError(404, f"no request {asked!r} waits for an answer in run {request.path_params['run']!r}")
        derived = [as_json(record) for record in taken.derived]
        return success({"intervention": asked, "approved": body.approved, "derived": derived})

    async def _take_in(self, request: Request, record: Input) -> Taken:
        run = request.path_params["run"]
        taken = await when_taken(self._monitor.take_in(run, record))
        if taken is None:
            raise ApiError(404, f"there is no run {run!r}")
        match taken.how:
            case "held":
                raise ApiError(409, f"run {run!r} is driven by another monitor")
            case "failed":
                raise ApiError(503, f"run {run!r} can't be followed, the monitor's log says why: try again")
            case "ended":
                raise ApiError(409, f"run {run!r} has ended")
            case "behind":
                raise ApiError(503, f"the past of run {run!r} is still being read: try again")
            case "unwritten":
                raise ApiError(503, f"the journal of run {run!r} can't be written: try again")
        return taken


async def when_taken(future: "Future[Taken | None]") -> Taken | None:
    """What became of an input. Raises `ApiError` where the daemon does not say in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE_SECONDS)
    except TimeoutError:
        raise ApiError(503, "the monitor does not answer: try again") from None


def parse(kind: type[_Body], body: bytes) -> _Body:
    """The body of a request. Raises `ApiError` that says where it is not what was wanted."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"body: {error}") from None
    except RecursionError:
        raise ApiError(400, "body: nested too deep") from None
