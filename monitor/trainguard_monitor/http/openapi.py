"""``GET /api/v1/openapi.json``: the description in ``openapi.json``, with the actions as the rules have them."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trainguard_monitor import __version__
from trainguard_rules.rulefile.schema_export import rule_file_schema


def description() -> dict[str, Any]:
    """OpenAPI 3.1, as plain data."""
    text = (resources.files("trainguard_monitor.http") / "openapi.json").read_bytes()
    described: dict[str, Any] = msgspec.json.decode(text)
    described["info"]["version"] = __version__
    described["components"]["schemas"] |= _actions()
    return described


def _actions() -> dict[str, Any]:
    """The schema of an action and of what it refers to, from that of rule files."""
    text = msgspec.json.encode(rule_file_schema()["$defs"]).replace(b'"#/$defs/', b'"#/components/schemas/')
    definitions: dict[str, Any] = msgspec.json.decode(text)
    return {name: definitions[name] for name in _reached("Action", definitions)}


def _reached(name: str, definitions: dict[str, Any]) -> set[str]:
    """The names that lead on from one, itself among them."""
    found, waiting = set[str](), [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(definitions[name])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


class OpenApi:
    """The route."""

    def __init__(self) -> None:
        self._body: bytes | None = None

    def routes(self) -> list[Route]:
        return [Route("/api/v1/openapi.json", self.describe)]

    async def describe(self, _: Request) -> Response:
        if self._body is None:
            self._body = msgspec.json.encode(description())
        return Response(self._body, media_type="application/json")
