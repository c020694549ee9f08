"""Who may change anything: whoever has the token, from nowhere that a browser could be lured to.

A route that changes something asks `Door.admit` first. Without a token file there is no way in. The token travels in a
header that a browser sends for no other page; there are no cookies. Where the monitor listens on loopback it answers
only to loopback's own names, so that no page of somebody else's can have its own name lead here (`LoopbackNames`).
Too many requests, or wrong tokens, are turned away for a while; a right token is let in whatever else knocks.
"""

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from trainguard_monitor.http.envelope import ApiError, failure
from trainguard_monitor.private import PrivateFileError, read_private

SHORTEST_TOKEN = 16
MOST_BODY = 1024 * 1024
HOW = "start the monitor with --token-file, and send the token as 'Authorization: Bearer TOKEN'"


class TokenError(ValueError):
    """A token file that can't be used. The message says why, and what to do."""


def read_token(path: Path) -> str:
    """The token in a file that nobody but its owner may read. Raises `TokenError`."""
    try:
        token = read_private(path, "token file").strip()
    except PrivateFileError as error:
        raise TokenError(str(error)) from None
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or not token.isascii() or " " in token:
        raise TokenError(
            f"token file {path}: want {SHORTEST_TOKEN} or more printable characters without blanks, "
            "as 'openssl rand -hex 32' makes them"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether an address, as a bound socket has it, can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Bucket:
    """Lets so many through at once, and so many a second in the long run."""

    def __init__(self, most: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._clock = most, per_second, clock
        self._left = float(most)
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Door:
    """The way in to what changes anything. Not for two threads."""

    def __init__(self, token: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = None if token is None else _digest(token)
        self._changes = Bucket(30, 5.0, clock)
        self._failures = Bucket(10, 0.5, clock)

    @property
    def is_open(self) -> bool:
        """Whether there is a token to come in with."""
        return self._digest is not None

    def admit(self, request: Request, *, busy: int = 429) -> None:
        """Let a request in, or raise `ApiError`; ``busy`` is the status where there are too many."""
        if self._digest is None:
            raise ApiError(403, f"this monitor changes nothing over HTTP: {HOW}")
        if not _is_same_origin(request.headers):
            raise ApiError(403, f"not from a page of {request.headers['origin']!r}")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(token.strip()), self._digest):
            if not self._failures.take():
                raise ApiError(429, "too many wrong tokens: try again later", {"retry-after": "2"})
            raise ApiError(
                401, "want 'Authorization: Bearer TOKEN' with the right token", {"www-authenticate": "Bearer"}
            )
        if not self._changes.take():
            raise ApiError(busy, "too many requests: try again later", {"retry-after": "1"})


async def read_json(request: Request) -> bytes:
    """The body of a request that says it is JSON. Raises `ApiError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, f"want Content-Type: application/json, not {kind or 'none'!r}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise ApiError(413, f"a body of more than {MOST_BODY} bytes")
    return body


class LoopbackNames:
    """An application that answers to the names of loopback only."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", "127.0.0.1", "::1", host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if _name(host) not in self._names:
                error = ApiError(403, f"this monitor listens on loopback, and does not answer to the name {host!r}")
                response = await failure(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name(host: str) -> str:
    """A Host header without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
