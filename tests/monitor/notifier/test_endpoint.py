"""One Alertmanager over real HTTP, and what is no address of one."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.receiver import Receiver, receiving
from trainguard_monitor.notifier import endpoint as endpoint_module
from trainguard_monitor.notifier.endpoint import Endpoint, EndpointError, PostError


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_posts_where_alertmanager_takes_alerts(receiver: Receiver):
    endpoint = Endpoint(f"{receiver.url}/prefix/")
    endpoint.post(b"[]")
    [request] = receiver.requests
    assert (request.path, request.body, request.headers["Content-Type"]) == (
        "/prefix/api/v2/alerts",
        b"[]",
        "application/json",
    )
    assert "Authorization" not in request.headers


def test_a_password_is_sent_and_not_shown(receiver: Receiver):
    endpoint = Endpoint(receiver.url.replace("http://", "http://ada:p%40ss@"))
    endpoint.post(b"[]")
    assert receiver.requests[0].headers["Authorization"] == "Basic YWRhOnBAc3M="
    assert endpoint.name == receiver.url


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (302, "refused"),
        (429, "server_error"),
        (503, "server_error"),
    ],
)
def test_what_alertmanager_does_not_take(receiver: Receiver, status: int, reason: str):
    """Trying again helps where it is busy or broken."""
    receiver.status, receiver.text = status, json.dumps("why")
    with pytest.raises(PostError, match=f'{status} .*: "why"') as caught:
        Endpoint(receiver.url).post(b"[]")
    assert caught.value.reason == reason


def test_nobody_there():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(PostError) as caught:
            Endpoint(f"http://127.0.0.1:{held.getsockname()[1]}").post(b"[]")
    assert caught.value.reason == "unreachable"


def test_certificates_that_can_not_be_read(monkeypatch: pytest.MonkeyPatch):
    """Are a reason to try again: somebody may mend them."""

    def fail() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("ssl.create_default_context", fail)
    with pytest.raises(PostError) as caught:
        Endpoint("https://127.0.0.1:9093").post(b"[]")
    assert caught.value.reason == "unreachable"


def test_an_international_name():
    assert Endpoint("http://b\xfccher.example:9093").name == "http://b\xfccher.example:9093"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that has this to say to the first connection, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        if answer:
            import threading

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            yield url
            thread.join(60)
        else:
            yield url


def test_somebody_else_there():
    with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as url, pytest.raises(PostError) as caught:
        Endpoint(url).post(b"[]")
    assert caught.value.reason == "unreachable"


def test_somebody_who_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint_module, "TIMEOUT_SECONDS", 0.05)
    with answering(b"") as url, pytest.raises(PostError) as caught:
        Endpoint(url).post(b"[]")
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9093",
        "alertmanager:9093",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://[::1",
        "http://h/?a=b",
        "http://h/\xfc",
        "http://h/a b",
        "http://h/\x01",
        "http://h\x01:9093",
        "http://a..b:9093",
    ],
)
def test_what_is_no_address(url: str):
    with pytest.raises(EndpointError, match="want http://HOST:PORT"):
        Endpoint(url)
