"""Prometheus's envelope: ``{"status": "success", "data": ...}``, or ``{"status": "error", "errorType", "error"}``."""

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_JSON = "application/json"
_TYPES = {
    400: "bad_data",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}


class ApiError(HTTPException):
    """An answer that is an error; ``str(detail)`` tells a person what was met and what was wanted."""


def success(data: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode({"status": "success", "data": data}), status, media_type=_JSON)


async def failure(_: Request, error: Exception) -> Response:
    """For Starlette: any `HTTPException` as an error in the envelope."""
    assert isinstance(error, HTTPException)
    body = {
        "status": "error",
        "errorType": _TYPES.get(error.status_code, "internal"),
        "error": error.detail,
    }
    return Response(msgspec.json.encode(body), error.status_code, error.headers, _JSON)


async def defect(_: Request, error: Exception) -> Response:
    """For Starlette: what should not have happened. The traceback goes to the log, not to whoever asked."""
    body = {"status": "error", "errorType": "internal", "error": f"a defect of trainguard: {type(error).__name__}"}
    return Response(msgspec.json.encode(body), 500, media_type=_JSON)


class Query:
    """The parameters of a request. Raises `ApiError` with the parameter, the value met and what is wanted."""

    def __init__(self, request: Request) -> None:
        self._values = request.query_params

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise ApiError(400, f"parameter {name!r}: want a whole number, not {text!r}") from None
        if not low <= value <= high:
            raise ApiError(400, f"parameter {name!r}: want {low} to {high}, not {text}")
        return value

    def texts(self, *names: str) -> list[str]:
        return [text for name in names for text in self._values.getlist(name)]

    def flag(self, name: str) -> bool:
        text = self._values.get(name, "false")
        if text not in ("true", "false"):
            raise ApiError(400, f"parameter {name!r}: want true or false, not {text!r}")
        return text == "true"
