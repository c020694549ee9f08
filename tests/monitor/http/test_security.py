"""Who may change anything: a table of doors that stay shut, and the one that opens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.monitor.helpers import ScriptedTrainer, interventions_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.security import Bucket, Door, TokenError, is_loopback, read_token
from trainguard_monitor.private import is_private
from trainguard_rules import RuleBook

TOKEN = "a-token-of-many-characters"
RIGHT = {"authorization": f"Bearer {TOKEN}"}
ORDER: dict[str, Any] = {"actions": [{"scale_lr": {"factor": 0.5}}]}
CHANGING = [
    ("/-/reload", None),
    ("/api/v1/runs/a/actions", ORDER),
    ("/api/v1/runs/a/approvals/x", {"approved": True}),
    ("/api/v1/alertmanager", {"version": "4", "alerts": []}),
]


@pytest.fixture
def daemon(runs: Path, book: RuleBook, trainer: ScriptedTrainer) -> Iterator[Daemon]:
    trainer.samples(3)
    with running(Daemon(runs, book)) as daemon:
        until(lambda: daemon.run_detail("a") and daemon.run_detail("a").view.step == 3)
        yield daemon


@pytest.fixture
def url(daemon: Daemon) -> Iterator[str]:
    """Behind the door, at an address of loopback."""
    with serving(build_app(daemon, door=Door(TOKEN), reload=lambda: None, loopback="127.0.0.1")) as url:
        yield url


def post(url: str, body: Any = ORDER, **headers: str) -> httpx.Response:
    return httpx.post(url, json=body, headers={**RIGHT, **headers})


@pytest.mark.parametrize(("path", "body"), CHANGING)
def test_nothing_changes_without_the_token(url: str, trainer: ScriptedTrainer, path: str, body: Any) -> None:
    """No token, a wrong one, in another scheme, in the query, in a cookie: 401 and how to do it."""
    for headers in (
        {},
        {"authorization": "Bearer wrong-token-of-many-characters"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer"},
        {"cookie": f"token={TOKEN}"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": b"Bearer \xfc\xfc"},
    ):
        answer = httpx.post(f"{url}{path}?token={TOKEN}", json=body, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["errorType"] == "unauthorized"
    assert interventions_of(trainer.run) == []


@pytest.mark.parametrize(("path", "body"), CHANGING)
def test_without_a_token_file_there_is_no_way_in(daemon: Daemon, path: str, body: Any) -> None:
    """Not with any token; and the answer says how to make one."""
    with serving(build_app(daemon, reload=lambda: None)) as url:
        answer = httpx.post(f"{url}{path}", json=body, headers=RIGHT)
    assert answer.status_code == 403
    assert "start the monitor with --token-file" in answer.json()["error"]


@pytest.mark.parametrize(("path", "body"), CHANGING)
def test_only_by_post(url: str, path: str, body: Any) -> None:
    """A link or an image can change nothing."""
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = httpx.request(method, f"{url}{path}", headers=RIGHT)
        assert answer.status_code == 405, method
        assert "POST" in answer.headers["allow"]


def test_the_token_opens(url: str, trainer: ScriptedTrainer) -> None:
    """With it, and JSON, from our own page or from no page."""
    assert post(f"{url}/api/v1/runs/a/actions").status_code == 200
    assert post(f"{url}/api/v1/runs/a/actions", origin=url).status_code == 200
    assert len(interventions_of(trainer.run)) == 1


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:1", "http://127.0.0.1.evil.example"]
)
def test_not_from_another_page(url: str, trainer: ScriptedTrainer, origin: str) -> None:
    """Whatever its script has got hold of."""
    answer = post(f"{url}/api/v1/runs/a/actions", origin=origin)
    assert answer.status_code == 403
    assert interventions_of(trainer.run) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json(url: str, kind: str) -> None:
    """What a form of another page can send is not JSON."""
    headers = {**RIGHT, "content-type": kind}
    answer = httpx.post(f"{url}/api/v1/runs/a/actions", content=b'{"actions": []}', headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/runs", "/api/v1/events", "/-/reload"])
def test_loopback_answers_to_its_own_names_only(url: str, path: str) -> None:
    """Another name that leads here (DNS rebinding) reads nothing and changes nothing."""
    port = url.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::2]:80", "localhost.evil"):
        method = "POST" if path == "/-/reload" else "GET"
        answer = httpx.request(method, f"{url}{path}", headers={**RIGHT, "host": host})
        assert answer.status_code in (400, 403), host
    for host in (f"localhost:{port}", "LOCALHOST", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert httpx.get(f"{url}/-/healthy", headers={"host": host}).status_code == 200


def test_elsewhere_any_name_will_do(daemon: Daemon) -> None:
    """What listens for other machines has names that we do not know; and asks for a token."""
    with serving(build_app(daemon, door=Door(TOKEN))) as url:
        assert httpx.get(f"{url}/api/v1/runs", headers={"host": "monitor.example"}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_not_read(url: str, chunked: bool) -> None:
    """Beyond a megabyte, whether or not it says so beforehand."""
    body = b'{"actions": "' + b"x" * (1024 * 1024) + b'"}'
    content = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    headers = {**RIGHT, "content-type": "application/json"}
    answer = httpx.post(f"{url}/api/v1/runs/a/actions", content=content, headers=headers)
    assert answer.status_code == 413


def test_too_often(daemon: Daemon) -> None:
    """Requests beyond a rate are turned away, Alertmanager's so that it comes again; wrong tokens shut nobody out."""
    now = [0.0]
    with serving(build_app(daemon, door=Door(TOKEN, clock=lambda: now[0]), reload=lambda: None)) as url:
        wrong = [httpx.post(f"{url}/-/reload", headers={"authorization": "Bearer x"}) for _ in range(14)]
        assert [answer.status_code for answer in wrong] == [401] * 10 + [429] * 4
        assert wrong[-1].headers["retry-after"]
        right = [httpx.post(f"{url}/-/reload", headers=RIGHT).status_code for _ in range(32)]
        assert right == [200] * 30 + [429] * 2
        assert post(f"{url}/api/v1/alertmanager", {"version": "4", "alerts": []}).status_code == 503
        now[0] += 1.0
        assert [httpx.post(f"{url}/-/reload", headers=RIGHT).status_code for _ in range(6)] == [200] * 5 + [429]


def test_a_bucket_fills_up_again() -> None:
    """So many at once, so many a second, and no more than it holds after a long time."""
    now = [0.0]
    bucket = Bucket(2, 0.5, lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 2.0
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_token_file(tmp_path: Path) -> None:
    """Readable by its owner only; blanks around the token do not count."""
    path = tmp_path / "token"
    path.write_text(f"  {TOKEN}\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.chmod(0o400)
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (TOKEN, 0o644, "mode 0644 lets others than its owner at it: chmod 600"),
        (TOKEN, 0o640, "mode 0640"),
        (TOKEN, 0o602, "mode 0602"),
        ("", 0o600, "want 16 or more printable characters"),
        ("short", 0o600, "want 16 or more"),
        ("two words of many characters", 0o600, "without blanks"),
        ("\u00fc" * 20, 0o600, "printable"),
    ],
)
def test_a_token_file_that_is_no_good(tmp_path: Path, content: str, mode: int, complaint: str) -> None:
    """Why, and what to do."""
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(TokenError, match=complaint):
        read_token(path)


@pytest.mark.parametrize(
    ("mode", "owner", "us", "private"),
    [
        (0o600, 1000, 1000, True),
        (0o440, 1000, 1000, False),
        (0o440, 0, 1000, True),
        (0o444, 0, 1000, False),
        (0o460, 0, 1000, False),
        (0o440, 0, 0, False),
        (0o440, 1001, 1000, False),
    ],
)
def test_who_may_read_a_secret(mode: int, owner: int, us: int, private: bool) -> None:
    """Its owner; where root gives it to somebody who is not root, as Kubernetes does, the group it is given to."""
    assert is_private(mode, owner=owner, us=us) == private


def test_what_is_no_token_file(tmp_path: Path) -> None:
    """Nothing there, or no file."""
    with pytest.raises(TokenError, match="No such file"):
        read_token(tmp_path / "none")
    with pytest.raises(TokenError, match="Is a directory"):
        read_token(tmp_path)
    with pytest.raises(TokenError, match="not a regular file"):
        read_token(Path("/dev/null"))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_what_is_loopback(host: str, local: bool) -> None:
    """Anything else can be reached from elsewhere."""
    assert is_loopback(host) is local
