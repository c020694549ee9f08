"""Serving an ASGI application from a thread with an event loop of its own.

The socket is bound before anything else starts, so that an address in use is the first thing a user hears of.
"""

import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 10.0


class AddressError(ValueError):
    """A listen address that can't be understood or had."""


def bind(address: str) -> socket.socket:
    """A socket bound to ``host:port``; port 0 picks a free one. Raises `AddressError`."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"listen address {address!r}: want HOST:PORT, e.g. 127.0.0.1:9464")
    bound: socket.socket | None = None
    try:
        host = host.removeprefix("[").removesuffix("]")
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise AddressError(f"can't listen on {address}: {error.strerror or error}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """``host:port`` as it goes into a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server:
    """Serves from `start` to `stop`."""

    def __init__(self, app: ASGIApp, bound: socket.socket) -> None:
        self._socket = bound
        config = uvicorn.Config(
            app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False
        )
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="trainguard-http", daemon=True)

    def start(self) -> None:
        """Returns once requests are answered. Raises `RuntimeError` when it doesn't come to that."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the HTTP server did not start")
            time.sleep(0.002)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
