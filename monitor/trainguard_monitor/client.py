"""A client of the monitor's HTTP API, for the command line.

Nothing here follows a redirect: a token that was meant for a monitor goes nowhere else. Nor does it go through a proxy
on the way to this machine itself, whatever the environment says about proxies.
"""

import ipaddress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

DEFAULT_URL = "http://127.0.0.1:9464"
PATIENCE_SECONDS = 15.0  # longer than a monitor waits for its own loop


class ClientError(RuntimeError):
    """A monitor did not do what it was asked to. ``str()`` says why."""


class NoMonitor(ClientError):
    """Nobody answers at the address, or somebody who is no monitor."""


class Refused(ClientError):
    """The monitor said no. ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Client:
    """Asks the monitor at ``url``; with a ``token`` it may change something. Raises `ValueError` for no such URL."""

    def __init__(self, url: str, token: str | None = None, patience: float = PATIENCE_SECONDS) -> None:
        self.url = _normal(url)
        self._token = token
        self._patience = patience
        self._opener = _opener(self.url)

    def get(self, path: str, **parameters: str | int) -> Any:
        """The data at ``path``, which begins with a slash. Raises `ClientError`."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self._ask(Request(self.url + path + query))

    def post(self, path: str, body: Any) -> Any:
        """What the monitor answers to ``body``. Raises `ClientError`."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return self._ask(Request(self.url + path, msgspec.json.encode(body), headers))

    def _ask(self, request: Request) -> Any:
        try:
            with self._opener.open(request, timeout=self._patience) as answer:
                body = answer.read()
        except HTTPError as error:
            with error:
                raise Refused(error.code, _reason(error)) from None
        except (OSError, HTTPException) as error:
            raise NoMonitor(f"no monitor answers at {self.url}: {getattr(error, 'reason', error)}") from None
        try:
            return msgspec.json.decode(body)["data"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise NoMonitor(f"what answers at {self.url} is no monitor of trainguard's") from None


def path_of(run: str, *parts: str) -> str:
    """The path of a run, or below it; names may have any character."""
    return "/".join(["/api/v1/runs", *(quote(part, safe="") for part in (run, *parts))])


def _normal(url: str) -> str:
    full = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        split = urlsplit(full)
        fine = split.scheme in ("http", "https") and bool(split.hostname) and not (split.query or split.fragment)
        fine = fine and split.port != 0 and full.isprintable() and " " not in full
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"{url!r} is no address of a monitor: want one such as {DEFAULT_URL}")
    return full


def _opener(url: str) -> OpenerDirector:
    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    return build_opener(NoRedirect, *([ProxyHandler({})] if _is_here(urlsplit(url).hostname or "") else []))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: HTTPError) -> str:
    """What an error says, in the monitor's words where it is the monitor's."""
    try:
        return str(msgspec.json.decode(error.read())["error"])
    except (msgspec.DecodeError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}: {error.reason}"
