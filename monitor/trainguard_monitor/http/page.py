"""The status page: ``/`` and the files that make it up, as they lie in ``trainguard_monitor/page``.

Nothing is built, and nothing comes from elsewhere: the page works where there is no internet. Browsers ask each time
whether a file is still the same (ETag), so that a newer monitor shows its own page at once. The page may run
only scripts and styles from here, and nobody may put it into a frame.
"""

from os import PathLike, stat_result
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FILES = Path(__file__).parent.parent / "page"

_TYPES = {  # not as the machine's own table has them, which may say anything
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Page:
    """The routes."""

    def __init__(self) -> None:
        self._files = _Files(directory=FILES)

    def routes(self) -> list[BaseRoute]:
        return [Route("/", self.index, include_in_schema=False), Mount("/page", self._files)]

    async def index(self, request: Request) -> Response:
        return await self._files.get_response("index.html", request.scope)


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS)
        if isinstance(response, FileResponse):
            response.headers["content-type"] = _TYPES.get(Path(full_path).suffix, "text/plain; charset=utf-8")
        return response
