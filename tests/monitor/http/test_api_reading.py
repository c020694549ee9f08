"""The API as far as it reads: a real daemon over runs that scripted trainers write, asked over HTTP."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import START, ScriptedTrainer, interventions_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.prometheus_api import scientific
from trainguard_monitor.recorded.history import History
from trainguard_monitor.times import rfc3339
from trainguard_rules import load_rules

SUMMARY = "norm 99 at step 23, <b>far</b> above"
Get = Callable[..., Any]


@pytest.fixture
def get(daemon: Daemon) -> Iterator[Get]:
    """Asks for a path, and gives the data of the answer, or the answer where an error is expected."""
    with serving(build_app(daemon)) as url, httpx.Client(base_url=url) as client:

        def ask(path: str, status: int = 200, **params: Any) -> Any:
            answer = client.get(path, params=params)
            assert answer.status_code == status, answer.text
            body = answer.json()
            assert body["status"] == ("success" if status == 200 else "error")
            return body["data"] if status == 200 else body

        yield ask


@pytest.fixture
def story(daemon: Daemon, trainer: ScriptedTrainer) -> ScriptedTrainer:
    """A run in which one rule fired and acted, and was obeyed."""
    trainer.samples(20, loss=1.0, grad_norm=1.0, lr=0.1)
    trainer.samples(3, loss=2.0, grad_norm=99.0, lr=0.1)
    until(lambda: interventions_of(trainer.run))
    trainer.apply(interventions_of(trainer.run)[0])
    until(lambda: daemon.runs()[0].actions["scale_lr", "applied"] == 1)
    return trainer


def test_however_many_read_there_are_metrics(
    daemon: Daemon, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples of a long run take a while to read, and more want them than there are worker threads."""
    until(lambda: daemon.runs())
    read = threading.Event()
    monkeypatch.setattr(History, "catch_up", lambda _: read.wait(10))

    async def scenario() -> None:
        transport = httpx.ASGITransport(build_app(daemon))
        async with httpx.AsyncClient(base_url="http://localhost", transport=transport) as client:
            readers = [asyncio.create_task(client.get("/api/v1/runs/a/samples")) for _ in range(60)]
            await asyncio.sleep(0.2)
            try:
                for path in ("/metrics", "/api/v1/runs/a", "/api/v1/runs/a/timeline"):
                    assert (await asyncio.wait_for(client.get(path), 5)).status_code == 200
            finally:
                read.set()
                answers = await asyncio.gather(*readers)
            assert {answer.status_code for answer in answers} == {200}

    asyncio.run(scenario())


def test_runs(get: Get, story: ScriptedTrainer, new_trainer: NewTrainer) -> None:
    """Every run with its state, its last values and what its rules are up to; by name."""
    other = new_trainer("b")
    other.hello()
    other.sample(loss=math.nan, grad_norm=math.inf)
    until(lambda: len(get("/api/v1/runs")) == 2 and get("/api/v1/runs")[1]["step"] == 1)
    first, second = get("/api/v1/runs")
    assert first["run"] == "a"
    assert (first["state"], first["step"], first["generation"], first["epoch"]) == ("driven", 23, 0, None)
    assert first["last_sample"] == START + 23
    assert first["signals"] == {"loss": 2.0, "grad_norm": 99.0, "lr": 0.1}
    assert (first["firing"], first["pending"]) == (["GradientExplosion"], [])
    assert first["health"] == {"rank": 1, "level": "bad", "word": "in trouble"}
    assert first["decisions"]["act"] == 1
    assert first["actions"]["applied"] == 1
    assert second["signals"] == {"loss": "NaN", "grad_norm": "Infinity"}
    assert second["nonfinite"] == {"grad_norm": 1, "loss": 1}


def test_a_run_that_waits_and_how_it_ended(get: Get, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """Since when it waits, though it shows signs of life; then what ended it."""
    trainer.samples(2)
    trainer.ack("pause")
    trainer.step += 1
    trainer.heartbeat()
    until(lambda: daemon.runs() and daemon.runs()[0].last_record == START + 3)
    [run] = get("/api/v1/runs")
    assert (run["paused_since"], run["last_sample"], run["last_record"]) == (START + 2, START + 2, START + 3)
    assert run["goodbye"] is None
    trainer.goodbye(error="RuntimeError: boom")
    until(lambda: get("/api/v1/runs/a")["state"] == "ended")
    ended = get("/api/v1/runs/a")
    assert ended["goodbye"] == {"step": 3, "time": START + 3, "outcome": "failed", "error": "RuntimeError: boom"}
    assert ended["paused_since"] is None


def test_layers(get: Get, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """The largest gradient norms by layer, of one run alone."""
    trainer.sample(loss=1.0, layers={"fc.weight": math.inf, "conv1.weight": 2.0})
    until(lambda: daemon.runs() and daemon.runs()[0].step == 1)
    expected = {"step": 1, "grad_norms": {"fc.weight": "Infinity", "conv1.weight": 2.0}}
    assert get("/api/v1/runs/a")["layers"] == expected
    assert "layers" not in get("/api/v1/runs")[0]


def test_a_run(get: Get, story: ScriptedTrainer) -> None:
    """Its rules: state, value against threshold, what is left of cooldown and limit, and the last decision."""
    found = get("/api/v1/runs/a")
    explosion, high, asks = found["rules"]
    assert explosion["state"] == "firing"
    assert (explosion["value"], explosion["threshold"]) == (99.0, 10.0)
    assert (explosion["since_step"], explosion["since_time"]) == (21, START + 21)
    assert (explosion["cooldown"], explosion["cooldown_left"]) == ("50 steps", 50.0)
    assert (explosion["limit"], explosion["limit_left"]) == ("3 per 1000 steps", 2)
    assert explosion["last_decision"]["verdict"] == "act"
    assert explosion["annotations"] == {"summary": SUMMARY}
    assert explosion["actions"] == [{"kind": "scale_lr", "params": {"factor": 0.5, "min": 1e-5}}]
    assert (high["state"], high["value"], high["threshold"], high["limit_left"]) == ("inactive", 2.0, 4.0, None)
    assert (asks["mode"], asks["last_decision"]) == ("approve", None)
    assert found["expectations"][0]["status"] == "waiting"
    assert found["info"]["actions"] == ["scale_lr", "restore_checkpoint", "save_checkpoint", "stop"]
    assert found["requests"] == found["in_flight"] == []


def test_what_waits(get: Get, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """A request that waits for a person, and an intervention that waits for the trainer."""
    trainer.sample(loss=9.0, grad_norm=1.0)
    until(lambda: daemon.runs() and get("/api/v1/runs/a")["requests"])
    [request] = get("/api/v1/runs/a")["requests"]
    assert (request["id"], request["rule"], request["expires_step"]) == ("Asks.0.1", "Asks", 101)
    assert [action["kind"] for action in request["actions"]] == ["stop"]
    trainer.samples(3, loss=1.0, grad_norm=99.0)
    until(lambda: get("/api/v1/runs/a")["in_flight"])
    assert get("/api/v1/runs/a")["in_flight"][0]["id"] == "GradientExplosion.0.4"


def test_samples(get: Get, story: ScriptedTrainer) -> None:
    """Of the signals asked for, or all; of a range of steps, also counted from the end; no more points than asked."""
    loss = get("/api/v1/runs/a/samples", signal="loss")["signals"]["loss"]
    assert loss["step"] == list(range(1, 24))
    assert loss["value"] == [1.0] * 20 + [2.0] * 3
    every = get("/api/v1/runs/a/samples")
    assert (sorted(every["signals"]), every["last_step"]) == (["grad_norm", "loss", "lr"], 23)
    assert every["generations"] == [{"generation": 0, "first_step": 1}]
    near = get("/api/v1/runs/a/samples", signal=["loss", "lr"], **{"from": 19, "to": 22})["signals"]
    assert near["loss"]["value"] == [1.0, 1.0, 2.0, 2.0]
    assert get("/api/v1/runs/a/samples", signal="lr", **{"from": -2})["signals"]["lr"]["step"] == [22, 23]
    few = get("/api/v1/runs/a/samples", signal="grad_norm", points=4)["signals"]["grad_norm"]
    assert len(few["step"]) <= 4
    assert {min(few["value"]), max(few["value"])} == {1.0, 99.0}


def test_interventions(get: Get, story: ScriptedTrainer) -> None:
    """A decision with its reasons and what became of each action."""
    [decision] = get("/api/v1/runs/a/interventions")
    assert (decision["id"], decision["verdict"], decision["onset"]) == ("GradientExplosion.0.23", "act", 21)
    assert decision["summary"] == SUMMARY
    assert decision["text"] == f"{SUMMARY}: scale_lr by 0.5"
    [action] = decision["actions"]
    assert (action["kind"], action["status"], action["before"], action["after"]) == ("scale_lr", "applied", 1.0, 0.5)
    assert (decision["approval"], decision["verification"]) == (None, None)


def test_timeline(get: Get, story: ScriptedTrainer) -> None:
    """The journal, in words where there are any; by type and by step."""
    kinds = [record["type"] for record in get("/api/v1/runs/a/timeline")]
    assert kinds == ["opened", "transition", "transition", "decision", "outcome"]
    pending, firing = get("/api/v1/runs/a/timeline", type="transition")
    assert (pending["after"], pending["text"]) == ("pending", None)
    assert firing["text"] == "GradientExplosion fires, since step 21"
    assert len(get("/api/v1/runs/a/timeline", type=["decision", "outcome"])) == 2
    assert [r["type"] for r in get("/api/v1/runs/a/timeline", limit=1)] == ["outcome"]
    assert get("/api/v1/runs/a/timeline", type="decision", to=22) == []


def test_rules_in_prometheus_form(get: Get, story: ScriptedTrainer) -> None:
    """Groups of alerting rules, each with its alerts, one for each run."""
    stability, hopes = get("/api/v1/rules")["groups"]
    assert (stability["name"], hopes["name"]) == ("stability", "hopes")
    explosion, high = stability["rules"]
    assert explosion["type"] == "alerting"
    assert (explosion["state"], explosion["query"], explosion["health"]) == ("firing", "grad_norm > ceiling", "ok")
    assert explosion["lastEvaluation"] == "2023-11-14T22:13:43.000Z"
    assert (high["state"], high["duration"], high["keepFiringFor"], high["alerts"]) == ("inactive", 1000, 60, [])
    [alert] = explosion["alerts"]
    assert alert == {
        "labels": {"alertname": "GradientExplosion", "run": "a", "severity": "critical"},
        "annotations": {"summary": SUMMARY},
        "state": "firing",
        "activeAt": "2023-11-14T22:13:41.000Z",
        "value": "9.9e+01",
    }
    assert get("/api/v1/alerts")["alerts"] == [alert]
    one = get("/api/v1/rules", **{"rule_name[]": "LossHigh", "exclude_alerts": "true"})["groups"]
    assert [(rule["name"], "alerts" in rule) for group in one for rule in group["rules"]] == [("LossHigh", False)]
    assert get("/api/v1/rules", type="record") == {"groups": []}


@pytest.mark.parametrize(
    ("path", "params", "status", "message"),
    [
        ("/api/v1/runs/b", {}, 404, "there is no run 'b'"),
        ("/api/v1/runs/b/samples", {}, 404, "there is no run 'b'"),
        ("/api/v1/runs/b/events", {}, 404, "there is no run 'b'"),
        ("/api/v1/runs/..%2fa/timeline", {}, 404, "Not Found"),
        ("/api/v1/runs/%2e%2e/timeline", {}, 404, "there is no run '..'"),
        ("/api/v1/runs/a/samples", {"points": "many"}, 400, "parameter 'points': want a whole number, not 'many'"),
        ("/api/v1/runs/a/samples", {"points": 1}, 400, "parameter 'points': want 2 to 20000, not 1"),
        ("/api/v1/runs/a/timeline", {"from": -1}, 400, "parameter 'from': want 0 to 9007199254740992, not -1"),
        ("/api/v1/rules", {"exclude_alerts": "yes"}, 400, "parameter 'exclude_alerts': want true or false, not 'yes'"),
        ("/api/v1/nothing", {}, 404, "Not Found"),
    ],
)
def test_errors(get: Get, trainer: ScriptedTrainer, path: str, params: Any, status: int, message: str) -> None:
    """In the envelope, with the thing, the value met, the value wanted; names lead nowhere."""
    until(lambda: get("/api/v1/runs"))
    error = get(path, status, **params)
    assert error["errorType"] == {404: "not_found", 400: "bad_data"}[status]
    assert error["error"] == message


def test_a_run_that_another_monitor_drives_can_be_read(get: Get, story: ScriptedTrainer, runs: Path) -> None:
    """Its samples and its story are in its files."""
    other = Daemon(runs, load_rules(["stability"]))
    with running(other), serving(build_app(other)) as url:
        until(lambda: [view.state for view in other.runs()] == ["held"])
        assert httpx.get(f"{url}/api/v1/runs/a/samples").json()["data"]["last_step"] == 23
        assert len(httpx.get(f"{url}/api/v1/runs/a/interventions").json()["data"]) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(100.0, "1e+02"), (0.0, "0e+00"), (-0.00125, "-1.25e-03"), (1e300, "1e+300"), (9.0, "9e+00"), (12.5, "1.25e+01")],
)
def test_numbers_as_prometheus_writes_them(value: float, text: str) -> None:
    """The shortest mantissa, at least two digits of exponent; they read back as they were."""
    assert scientific(value) == text
    assert float(text) == value


@pytest.mark.parametrize(("time", "text"), [(0.5, "1970-01-01T00:00:00.500Z"), (1e30, "0001-01-01T00:00:00Z")])
def test_times_as_prometheus_writes_them(time: float, text: str) -> None:
    """RFC 3339 in UTC; a clock that is out of its mind is year 1."""
    assert rfc3339(time) == text
