"""The HTTP surface, as an application and on a real port."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.monitor.helpers import Still, serving
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.server import AddressError, address_of, bind
from trainguard_monitor.views.table import RunView


@pytest.fixture
def monitor() -> Still:
    return Still(RunView(run="a", state="driven", rules_sha256="f00", step=7), ready=False)


@pytest.fixture
def url(monitor: Still) -> Iterator[str]:
    """Served by uvicorn on a free port."""
    with serving(build_app(monitor)) as url:
        yield url


def test_health_and_readiness(monitor: Still, url: str) -> None:
    """Healthy from the first moment; ready when the monitor says so."""
    assert httpx.get(f"{url}/-/healthy").text == "trainguard is healthy.\n"
    assert httpx.get(f"{url}/-/ready").status_code == 503
    monitor.ready = True
    answer = httpx.get(f"{url}/-/ready")
    assert (answer.status_code, answer.text) == (200, "trainguard is ready.\n")


def test_metrics_in_the_format_that_is_asked_for(url: str) -> None:
    """Plain text by default, OpenMetrics where it is accepted; no creation timestamps in either."""
    plain = httpx.get(f"{url}/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert 'trainguard_run_step{run="a"} 7.0\n' in plain.text
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    openmetrics = httpx.get(f"{url}/metrics", headers=accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")
    assert "_created" not in plain.text + openmetrics.text
    for text in (plain.text, openmetrics.text):
        assert "\nprocess_resident_memory_bytes " in text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("POST", "/metrics", 405)])
def test_nothing_else(url: str, method: str, path: str, status: int) -> None:
    """No other path, and nothing that changes anything."""
    assert httpx.request(method, f"{url}{path}").status_code == status


def test_an_address_in_use_is_an_error() -> None:
    """The message names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = address_of(taken)
        with pytest.raises(AddressError, match=f"can't listen on {address}: Address already in use"):
            bind(address)


@pytest.mark.parametrize("address", ["9464", "localhost:", "localhost:http", "127.0.0.1:70000"])
def test_a_bad_address_is_an_error(address: str) -> None:
    """The message says what is wanted."""
    with pytest.raises(AddressError, match="want HOST:PORT"):
        bind(address)
