"""``trainguard act`` and ``trainguard approve``, against a real daemon on a scripted run."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.monitor.helpers import ScriptedTrainer, interventions_of, journal_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.cli import changing, main
from trainguard_monitor.client import Client, ClientError, NoMonitor, Refused, path_of
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.security import Door
from trainguard_rules import load_text
from trainguard_wire import Ack, Lease, Order

TOKEN = "a-token-of-many-characters"
RULES = """\
groups:
  - name: g
    rules:
      - guard: Asks
        expr: loss > 5
        mode: approve
        actions: [{save_checkpoint: {}}]
"""


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


@pytest.fixture
def daemon(runs: Path, trainer: ScriptedTrainer) -> Iterator[Daemon]:
    trainer.samples(3, loss=1.0)
    with running(Daemon(runs, load_text(RULES))) as daemon:
        until(lambda: [view.step for view in daemon.runs()] == [3])
        yield daemon


@pytest.fixture
def url(daemon: Daemon) -> Iterator[str]:
    with serving(build_app(daemon, door=Door(TOKEN))) as url:
        yield url


class Command:
    """``trainguard``, told where the monitor and the token are."""

    def __init__(self, url: str, token: Path) -> None:
        self.where = ["--url", url, "--token-file", str(token)]

    def __call__(self, *arguments: object) -> Result:
        command = [*map(str, arguments), *self.where]
        return CliRunner().invoke(main, command, catch_exceptions=False)


@pytest.fixture
def trainguard(url: str, token: Path) -> Command:
    return Command(url, token)


@contextmanager
def obeying(trainer: ScriptedTrainer, **ack: Any) -> Iterator[None]:
    """Meanwhile, the trainer carries out what it is told; or answers otherwise."""
    stop = threading.Event()

    def obey() -> None:
        answered = 0
        while not stop.wait(0.01):
            for intervention in interventions_of(trainer.run)[answered:]:
                answered += 1
                trainer.sample(loss=1.0)
                for action in intervention.actions:
                    fields = {"status": "applied", "before": 0.1, "after": 0.05, **ack}
                    place = {"step": trainer.step, "generation": trainer.generation, "time": trainer.now}
                    trainer.write(Ack(action=action.id, kind=action.kind, **place, **fields))

    thread = threading.Thread(target=obey)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# -- act ---------------------------------------------------------------------------------------------------


def test_it_is_done_and_the_value_before_and_after_shown(trainguard: Command, trainer: ScriptedTrainer) -> None:
    """The order is on record, with who gave it and why."""
    with obeying(trainer):
        result = trainguard("act", "a", "scale_lr", "factor=0.5", "min=1e-5", "--reason", "too fast")
    assert result.exit_code == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert re.fullmatch(r"step 3: ordered by \S+: too fast: scale_lr by 0\.5", first)
    assert second == "step 4: scale_lr: 0.1 is now 0.05"
    [intervention] = interventions_of(trainer.run)
    assert intervention.actions[0].params == {"factor": 0.5, "min": 1e-5}
    [order] = [record for record in journal_of(trainer.run) if isinstance(record, Order)]
    assert order.reason == "too fast"


def test_as_json(trainguard: Command, trainer: ScriptedTrainer) -> None:
    """The whole intervention, or without waiting the decision."""
    with obeying(trainer):
        done = json.loads(trainguard("act", "a", "scale_lr", "factor=0.5", "--json").stdout)
    assert done["actions"][0]["params"] == {"factor": 0.5, "min": 0.0}
    assert (done["actions"][0]["status"], done["actions"][0]["after"]) == ("applied", 0.05)
    passed_on = json.loads(trainguard("act", "a", "stop", "--json", "--no-wait").stdout)
    assert (passed_on["type"], passed_on["verdict"]) == ("decision", "act")


def test_refused_by_the_trainer(trainguard: Command, trainer: ScriptedTrainer) -> None:
    """Why is told, and the exit code is 1."""
    with obeying(trainer, status="refused", reason="there is no checkpoint", before=None, after=None):
        result = trainguard("act", "a", "restore_checkpoint")
    assert result.exit_code == 1
    assert result.stderr == "Error: restore_checkpoint refused: there is no checkpoint\n"


def test_held_back(trainguard: Command, trainer: ScriptedTrainer) -> None:
    """What the trainer does not offer, and a second one beside the first."""
    result = trainguard("act", "a", "set_lr", "lr=0.1")
    assert (result.exit_code, result.stderr.startswith("Error: hold_unsupported: ")) == (1, True)
    assert trainguard("act", "a", "scale_lr", "factor=0.5", "--no-wait").exit_code == 0
    again = trainguard("act", "a", "scale_lr", "factor=0.5", "--no-wait")
    assert (again.exit_code, again.stderr.startswith("Error: hold_")) == (1, True)


def test_no_outcome_in_time(trainguard: Command, trainer: ScriptedTrainer) -> None:
    """A trainer that is silent: it may be done yet, so the code is another one."""
    result = trainguard("act", "a", "stop", "--timeout", 0.5)
    assert result.exit_code == 5
    assert "no outcome within 0.5 s; it still stands" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["scale_rl"], "unknown action 'scale_rl'; did you mean 'scale_lr'?"),
        (["scale_lr"], "scale_lr: missing key 'factor'"),
        (["scale_lr", "factr=0.5"], "scale_lr: unknown key 'factr'; did you mean 'factor'?"),
        (["scale_lr", "factor=-1"], "scale_lr: 'factor' should be greater than 0, not -1"),
        (["scale_lr", "factor=half"], "scale_lr: 'factor' should be a valid number, not 'half'"),
        (["scale_lr", "factor=[1"], "scale_lr: 'factor' should be a valid number, not '[1'"),
        (["scale_lr", "factor=0.5", "factor=0.6"], "scale_lr: 'factor' is given twice"),
        (["scale_lr", "0.5"], "'0.5': want KEY=VALUE, such as factor=0.5"),
        (["pause", "at_most=30"], "pause: 30 has no unit: write '30s' or '1h30m'"),
        (["set_lr", "lr=lr / 2"], "set_lr: 'lr' should be a number, not 'lr / 2'"),
    ],
)
def test_mistakes(trainguard: Command, trainer: ScriptedTrainer, arguments: list[str], complaint: str) -> None:
    """Every one is found before anything is sent."""
    result = trainguard("act", "a", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert interventions_of(trainer.run) == []


def test_faults(trainguard: Command, daemon: Daemon, token: Path, url: str, trainer: ScriptedTrainer) -> None:
    """No such run, no token or a wrong one, no monitor, a run that is over: each with its code."""
    assert trainguard("act", "b", "stop").exit_code == 2
    other = token.with_name("other")
    other.write_text("another-token-of-many-characters")
    other.chmod(0o600)
    wrong = Command(url, other)("act", "a", "stop")
    assert (wrong.exit_code, "with the right token" in wrong.stderr) == (2, True)
    other.chmod(0o644)
    assert "chmod 600" in Command(url, other)("act", "a", "stop").stderr
    without = CliRunner().invoke(main, ["act", "a", "stop", "--url", url])
    assert (without.exit_code, "give --token-file" in without.stderr) == (2, True)
    assert Command("127.0.0.1:1", token)("act", "a", "stop").exit_code == 4
    trainer.goodbye()
    until(lambda: daemon.runs()[0].state == "ended")
    over = trainguard("act", "a", "stop")
    assert (over.exit_code, over.stderr) == (3, "Error: run 'a' has ended\n")


def test_another_monitor_drives_it(trainguard: Command, daemon: Daemon, runs: Path) -> None:
    """Only that one can act on it."""
    held = ScriptedTrainer(runs / "held", introduce=False)
    with Lease.take(held.run.monitor_lock):
        held.introduce()
        until(lambda: {view.run: view.state for view in daemon.runs()}.get("held") == "held")
        assert trainguard("act", "held", "stop").exit_code == 3
    held.close()


def test_real_processes(runs: Path, trainer: ScriptedTrainer, token: Path, tmp_path: Path) -> None:
    """``trainguard monitor`` in one, ``trainguard act`` in another, with all options from the environment."""
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "trainguard_monitor"]
    watching = ["monitor", str(runs), "--listen=127.0.0.1:0", f"--ready-file={ready}", f"--token-file={token}"]
    monitor = subprocess.Popen([*command, *watching])
    try:
        until(ready.exists)
        trainer.samples(3, loss=1.0)
        environment = {
            **os.environ,
            "TRAINGUARD_ACT_URL": ready.read_text().strip(),
            "TRAINGUARD_ACT_TOKEN_FILE": str(token),
        }
        with obeying(trainer):
            done = subprocess.run(
                [*command, "act", "a", "scale_lr", "factor=0.5"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1].endswith(": scale_lr: 0.1 is now 0.05")
    finally:
        monitor.terminate()
        assert monitor.wait(60) == 0


# -- approve -----------------------------------------------------------------------------------------------


@pytest.fixture
def request_id(daemon: Daemon, trainer: ScriptedTrainer) -> str:
    """A rule asks."""
    trainer.sample(loss=9.0)
    until(lambda: daemon.run_detail("a").requests)
    return daemon.run_detail("a").requests[0].id


def test_what_waits(trainguard: Command, url: str, trainer: ScriptedTrainer, request_id: str) -> None:
    """Without an id it is listed; that takes no token."""
    listed = CliRunner().invoke(main, ["approve", "a", "--url", url])
    assert listed.stdout == "Asks.0.4: loss > 5: save_checkpoint? (until step 104)\n"
    [as_json] = json.loads(trainguard("approve", "a", "--json").stdout)
    assert as_json["id"] == request_id
    assert trainguard("approve", "b").exit_code == 2
    assert CliRunner().invoke(main, ["approve", "a", "--url", "127.0.0.1:1"]).exit_code == 4
    assert trainguard("approve", "a", "--deny").exit_code == 2


class Hours:
    """Time that goes by only while somebody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.mark.parametrize(("status", "code"), [(503, 4), (429, 4), (500, 4), (409, 3), (404, 2)])
def test_what_waits_can_not_be_read(token: Path, status: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends as answering does, with the monitor's words; while it is too busy it is asked again."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    monkeypatch.setattr(changing, "time", Hours())
    asked: list[str] = []

    async def refuse(request: Request) -> Response:
        asked.append(request.method)
        return JSONResponse({"status": "error", "error": "not now"}, status)

    path = "/api/v1/runs/{run}"
    routes = [Route(path, refuse), Route(f"{path}/approvals/{{id}}", refuse, methods=["POST"])]
    with serving(Starlette(routes=routes)) as url:
        for words in ((), ("Asks.0.4",)):
            result = Command(url, token)("approve", "a", *words, "--timeout", 10)
            assert (result.exit_code, result.stderr) == (code, "Error: not now\n")
    once = 2 if status in (503, 429) else 1
    assert min(asked.count("GET"), asked.count("POST")) >= once


def test_approved(trainguard: Command, trainer: ScriptedTrainer, request_id: str) -> None:
    """It is carried out, and once."""
    with obeying(trainer, before=None, after=None):
        result = trainguard("approve", "a", request_id)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{request_id}: approved\nstep 5: save_checkpoint applied\n"
    again = trainguard("approve", "a", request_id)
    assert (again.exit_code, "waits for an answer" in again.stderr) == (2, True)


def test_denied(trainguard: Command, trainer: ScriptedTrainer, request_id: str) -> None:
    """Nothing is carried out."""
    result = trainguard("approve", "a", request_id, "--deny")
    assert (result.exit_code, result.stdout) == (0, f"{request_id}: denied\n")
    assert interventions_of(trainer.run) == []
    assert "nothing waits for an answer" in trainguard("approve", "a").stderr


# -- completion --------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """What a shell would offer for the last of these words."""
    environment = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    environment["_TRAINGUARD_COMPLETE"] = "bash_complete"
    done = CliRunner(env=environment).invoke(main, prog_name="trainguard", complete_var="_TRAINGUARD_COMPLETE")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_words_of_an_order(url: str, request_id: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, actions, their parameters and those of few values; what waits for an answer."""
    to = f"--url={url}"
    assert completed("trainguard", "act", to, "") == ["a"]
    assert completed("trainguard", "act", to, "a", "scale_") == ["scale_lr", "scale_weight_decay", "scale_knob"]
    assert completed("trainguard", "act", "a", "scale_lr", "min=0", "") == ["factor=", "max=", "recover_over="]
    assert completed("trainguard", "act", "a", "restore_checkpoint", "rew") == ["rewind=none", "rewind=full"]
    assert completed("trainguard", "approve", to, "a", "") == [request_id]
    assert completed("trainguard", "pack", "sta") == ["stability"]
    monkeypatch.chdir(runs.parent)
    assert completed("trainguard", "act", "--url=127.0.0.1:1", "") == ["a"]
    assert completed("trainguard", "approve", "--url=127.0.0.1:1", "a", "") == []


# -- the client --------------------------------------------------------------------------------------------


def test_what_is_no_monitor() -> None:
    """Another server, and one that sends us elsewhere: the token goes nowhere."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    met: list[str] = []

    async def elsewhere(request: Request) -> Response:
        return RedirectResponse(request.url_for("other"), 307)

    async def other(request: Request) -> Response:
        met.append(request.headers.get("authorization", ""))
        return JSONResponse({"status": "success", "data": 1})

    async def words(request: Request) -> Response:
        return PlainTextResponse("hello")

    routes = [Route("/a", elsewhere, methods=["GET", "POST"]), Route("/b", other, name="other"), Route("/c", words)]
    with serving(Starlette(routes=routes)) as url:
        client = Client(url, TOKEN)
        with pytest.raises(Refused, match="307"):
            client.post("/a", {})
        with pytest.raises(NoMonitor, match="is no monitor of trainguard's"):
            client.get("/c")
        with pytest.raises(ClientError):
            client.get("/d")
        assert Client(url.removeprefix("http://") + "/").get("/b") == 1
    assert met == [""]


def test_no_proxy_on_the_way_to_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(Client(url).get("/api/v1/runs")) == 1


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://a:99999999", "http://a?x=1", "http://a b", "a\nb"])
def test_addresses_that_are_none(url: str) -> None:
    """Said before anything is sent."""
    with pytest.raises(ValueError, match="is no address of a monitor"):
        Client(url)


def test_names_are_names() -> None:
    """Whatever a run is called, its name is one part of the path."""
    assert path_of("a/../b?c", "actions") == "/api/v1/runs/a%2F..%2Fb%3Fc/actions"
