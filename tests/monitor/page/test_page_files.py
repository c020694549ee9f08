"""The files of the page: how they are served, and that they are in the wheel. No browser needed."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.monitor.helpers import running, serving
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.page import FILES
from trainguard_rules import RuleBook

ROOT = Path(__file__).parents[3]
NAMES = sorted(str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.is_file())


@pytest.fixture
def client(runs: Path, book: RuleBook) -> Iterator[httpx.Client]:
    daemon = Daemon(runs, book)
    with running(daemon), serving(build_app(daemon)) as url, httpx.Client(base_url=url) as client:
        yield client


def test_every_file_is_served_as_what_it_is(client: httpx.Client) -> None:
    """With its type, a tag, and a policy that lets nothing in from elsewhere."""
    types = {
        ".html": "text/html",
        ".js": "text/javascript",
        ".css": "text/css",
        ".svg": "image/svg+xml",
        "": "text/plain",
    }
    for name in NAMES:
        answer = client.get(f"/page/{name}")
        assert answer.status_code == 200, name
        assert answer.content == (FILES / name).read_bytes()
        assert answer.headers["content-type"].partition(";")[0] == types[Path(name).suffix]
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_is_at_the_root(client: httpx.Client) -> None:
    assert client.get("/").content == (FILES / "index.html").read_bytes()
    assert client.head("/").status_code == 200
    assert client.post("/").json()["errorType"] == "method_not_allowed"


def test_a_file_that_is_the_same_is_not_sent_again(client: httpx.Client) -> None:
    """Browsers have to ask each time, and are told in a few bytes."""
    first = client.get("/page/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/page/", "/page/none.js", "/page/../http/page.py", "/page/%2e%2e/http/page.py"])
def test_nothing_else_is(client: httpx.Client, path: str) -> None:
    """No listing, and no way out of the folder."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["errorType"] == "not_found"


def test_nothing_is_inline_or_from_elsewhere() -> None:
    """No script or style in the HTML, no address of another host, and no way for text to become markup."""
    html = (FILES / "index.html").read_text()
    assert "style=" not in html
    assert " on" not in "".join(part.partition(">")[0] for part in html.split("<")[1:] if part.startswith("script"))
    assert all(part.startswith((" src=", " type=")) for part in html.split("<script")[1:])
    for name in NAMES:
        if name.startswith("vendor/") or not name.endswith((".js", ".html", ".css")):
            continue
        text = (FILES / name).read_text()
        for word in ("http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, f"{name}: {word}"


def test_files_stay_readable() -> None:
    """As those of Python: a file that outgrows this is two files."""
    ours = [name for name in NAMES if name.endswith((".js", ".css")) and not name.startswith("vendor/")]
    assert {name: n for name in ours if (n := len((FILES / name).read_text().splitlines())) > 200} == {}


def test_uplot_keeps_its_licence() -> None:
    assert "The MIT License (MIT)" in (FILES / "vendor/uplot/LICENSE").read_text()
    assert "v1.6.32" in (FILES / "vendor/uplot/uPlot.esm.js").read_text()[:400]


def test_the_wheel_has_it_all(tmp_path: Path) -> None:
    """Whoever installs trainguard has the page."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = zipfile.ZipFile(wheel).namelist()
    assert {f"trainguard_monitor/page/{name}" for name in NAMES} <= set(packed)
