"""One Alertmanager over HTTP: ``POST /api/v2/alerts``, on a connection of its own each time."""

import base64
import http.client
import ssl
from contextlib import closing
from typing import Literal
from urllib.parse import unquote, urlsplit

PATH = "/api/v2/alerts"
TIMEOUT_SECONDS = 10.0
Reason = Literal["unreachable", "timeout", "server_error", "refused"]


class EndpointError(ValueError):
    """An address that can't be that of an Alertmanager."""


class PostError(Exception):
    """Alertmanager did not take it. ``refused``: nor will it take it the next time."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Endpoint:
    """Where an Alertmanager is: ``http://HOST:PORT``, with ``user:password@`` and a path prefix where it has them.

    ``name`` is its address without the password. Raises `EndpointError`.
    """

    def __init__(self, url: str) -> None:
        wanted = f"Alertmanager {_without_password(url)!r}: want http://HOST:PORT, e.g. http://127.0.0.1:9093"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise EndpointError(f"{wanted} ({error})") from None
        if parts.scheme not in ("http", "https") or not host:
            raise EndpointError(wanted)
        if parts.query or parts.fragment:
            raise EndpointError(f"{wanted} (and neither ? nor #)")
        if not _can_be_sent(host, parts.path):
            raise EndpointError(f"{wanted} (other characters as %XX)")
        self._tls = parts.scheme == "https"
        self._host, self._port = host, port
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/json", "User-Agent": "trainguard"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self.name = _without_password(url).rstrip("/")

    def post(self, body: bytes) -> None:
        """Send alerts. Raises `PostError`."""
        try:
            with closing(self._connect()) as connection:
                connection.request("POST", self._path, body, self._headers)
                answer = connection.getresponse()
                said = answer.read(1000).decode("utf-8", "replace").strip()
        except TimeoutError:
            raise PostError("timeout", f"no answer within {TIMEOUT_SECONDS:.0f} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise PostError("unreachable", str(error) or type(error).__name__) from None
        if answer.status >= 300:
            passing = answer.status >= 500 or answer.status in (408, 429)
            raise PostError("server_error" if passing else "refused", f"{answer.status} {answer.reason}: {said}")

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)


def _can_be_sent(host: str, path: str) -> bool:
    """Whether a request can have this host and path: names may be international, paths are printable ASCII."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return path.isascii() and (host + path).isprintable() and " " not in host + path


def _without_password(url: str) -> str:
    """A URL, or what was meant to be one, as it may be shown."""
    scheme, colon, rest = url.rpartition("://")
    return scheme + colon + rest.rpartition("@")[2]
