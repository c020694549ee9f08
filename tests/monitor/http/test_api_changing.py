"""What changes something over HTTP: orders, answers, a reload, and what Alertmanager and Grafana send."""

import copy
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of, journal_of, openings_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.http import changing
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.security import Door
from trainguard_monitor.recorded.story import told
from trainguard_monitor.reloading import Reloader
from trainguard_monitor.views.table import Taken
from trainguard_rules import load_rules
from trainguard_wire import AlertNotice, Approval, Lease, Order

TOKEN = "a-token-of-many-characters"
DATA = Path(__file__).parents[1] / "data"
WEBHOOK = json.loads((DATA / "alertmanager.json").read_text())
RULES = """\
groups:
  - name: g
    rules:
      - guard: Asks
        expr: loss > 5
        mode: approve
        actions: [{save_checkpoint: {}}]
      - guard: Hot
        alert: {alertname: GpuOverheating}
        actions: [{stop: {}}]
        cooldown: 100 steps
"""
HALVE = [{"scale_lr": {"factor": 0.5}}]

Post = Callable[..., httpx.Response]


@pytest.fixture
def daemon(runs: Path, rules: Path, trainer: ScriptedTrainer) -> Iterator[Daemon]:
    trainer.samples(3, loss=1.0)
    with running(Daemon(runs, load_rules([str(rules)]))) as daemon:
        until(lambda: openings_of(trainer.run))
        yield daemon


@pytest.fixture
def post(daemon: Daemon, rules: Path) -> Iterator[Post]:
    app = build_app(daemon, door=Door(TOKEN, clock=_hurrying()), reload=Reloader(daemon, [str(rules)]).reload)
    headers = {"authorization": f"Bearer {TOKEN}"}
    with serving(app) as url, httpx.Client(base_url=url, headers=headers, timeout=20) as client:

        def post(path: str, body: Any = None) -> httpx.Response:
            if isinstance(body, bytes):
                return client.post(path, content=body, headers={"content-type": "application/json"})
            return client.post(path, json=body)

        yield post


def _hurrying() -> Callable[[], float]:
    """A clock on which no request comes too often."""
    now = [0.0]

    def clock() -> float:
        now[0] += 10.0
        return now[0]

    return clock


def test_an_order(post: Post, trainer: ScriptedTrainer) -> None:
    """The decision comes back, the trainer is told, and the order is on record with who gave it."""
    answer = post("/api/v1/runs/a/actions", {"actions": HALVE, "by": "ada", "reason": "too fast", "id": "o-1"})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["id"], data["known"], data["decision"]["verdict"]) == ("o-1", False, "act")
    assert data["decision"]["reason"] == "ordered by ada: too fast"
    [intervention] = interventions_of(trainer.run)
    assert (intervention.id, intervention.actions[0].params) == ("manual.o-1", {"factor": 0.5, "min": 0.0})
    [order] = [record for record in journal_of(trainer.run) if isinstance(record, Order)]
    assert (order.by, order.reason, order.after_record) == ("ada", "too fast", 4)
    assert told(order) == "ada orders scale_lr by 0.5"


@pytest.mark.parametrize(("path", "key"), [("/api/v1/runs/a/actions", "actions"), ("/api/v1/alertmanager", "other")])
def test_a_body_that_is_nested_without_end(post: Post, path: str, key: str) -> None:
    """No defect of ours."""
    answer = post(path, f'{{"{key}": {"[" * 50_000}{"]" * 50_000}}}'.encode())
    assert (answer.status_code, answer.json()["error"]) == (400, "body: nested too deep")


def test_an_order_sent_again(post: Post, trainer: ScriptedTrainer) -> None:
    """Under its id it is carried out once, and answered as before; without an id, each is another."""
    first = post("/api/v1/runs/a/actions", {"actions": HALVE, "id": "x"}).json()["data"]
    again = post("/api/v1/runs/a/actions", {"actions": HALVE, "id": "x"}).json()["data"]
    assert again == first | {"known": True}
    other = post("/api/v1/runs/a/actions", {"actions": HALVE}).json()["data"]
    assert other["decision"]["verdict"] == "hold_outranked"
    assert len(interventions_of(trainer.run)) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "Object missing required field `actions`"),
        ({"actions": []}, "Expected `array` of length >= 1 - at `$.actions`"),
        ({"actions": [{}]}, "actions[0]: an action is one key with its parameters"),
        ({"actions": [{"scale_lr": {}}]}, "actions[0]: scale_lr: missing key 'factor'"),
        ({"actions": [{"stop": None}, {"scale_rl": {}}]}, "unknown action 'scale_rl'; did you mean 'scale_lr'?"),
        ({"actions": [{"scale_lr": {"factor": -1}}]}, "'factor' should be greater than 0, not -1"),
        ({"actions": HALVE, "why": "x"}, "Object contains unknown field `why`"),
        ({"actions": HALVE, "by": ""}, "Expected `str` of length >= 1 - at `$.by`"),
        ({"actions": HALVE, "id": "../x"}, "Expected `str` matching regex"),
        ({"actions": HALVE * 17}, "Expected `array` of length <= 16"),
        (b"", "JSON is malformed|Input data was truncated"),
        (b'{"actions": [', "Input data was truncated"),
        (b"\xff\xfe", "JSON is malformed|invalid"),
    ],
)
def test_an_order_that_is_no_good(post: Post, trainer: ScriptedTrainer, body: Any, complaint: str) -> None:
    """Nothing happens, and the answer says where it went wrong."""
    answer = post("/api/v1/runs/a/actions", body)
    assert answer.status_code == 400
    assert any(part in answer.json()["error"] for part in complaint.split("|")), answer.text
    assert interventions_of(trainer.run) == []


def test_an_answer(post: Post, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """Approved, what waited is done; denied, it is not; and nothing is answered twice."""
    for approved in (True, False):
        trainer.sample(loss=9.0)
        until(lambda: daemon.run_detail("a").requests)
        [request] = daemon.run_detail("a").requests
        answer = post(f"/api/v1/runs/a/approvals/{request.id}", {"approved": approved, "by": "ada"})
        assert answer.status_code == 200
        derived = answer.json()["data"]["derived"]
        assert [record["type"] for record in derived] == ["decision" if approved else "outcome"]
        assert ("approved by ada" if approved else "denied by ada") in derived[0]["reason"]
        again = post(f"/api/v1/runs/a/approvals/{request.id}", {"approved": True})
        assert again.status_code == 404
        assert again.json()["error"] == f"no request '{request.id}' waits for an answer in run 'a'"
        for intervention in interventions_of(trainer.run):
            trainer.apply(intervention)
        trainer.samples(20, loss=1.0)
        until(lambda: not daemon.run_detail("a").in_flight)
    assert len(interventions_of(trainer.run)) == 1
    words = [told(record) for record in journal_of(trainer.run) if isinstance(record, Approval)]
    assert words == ["ada approves Asks.0.4", "ada denies Asks.0.25"]


def test_a_run_that_is_not_ours_to_change(
    post: Post, daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of that name, another monitor's, over, or not there yet."""
    assert post("/api/v1/runs/b/actions", {"actions": HALVE}).status_code == 404
    held, ended = new_trainer("held"), new_trainer("ended")
    with Lease.take(held.run.monitor_lock):
        held.introduce()
        ended.hello()
        ended.goodbye()
        until(lambda: {v.run: v.state for v in daemon.runs()} == {"a": "driven", "held": "held", "ended": "ended"})
        answers = {run: post(f"/api/v1/runs/{run}/actions", {"actions": HALVE}) for run in ("held", "ended")}
    assert {run: answer.status_code for run, answer in answers.items()} == {"held": 409, "ended": 409}
    assert answers["held"].json()["error"] == "run 'held' is driven by another monitor"
    assert answers["ended"].json()["error"] == "run 'ended' has ended"
    for how, status in (("behind", 503), ("unwritten", 503), ("failed", 503)):
        monkeypatch.setattr(Driver, "take_in", lambda self, record, how=how: Taken(how))
        assert post("/api/v1/runs/a/actions", {"actions": HALVE}).status_code == status
        assert post("/api/v1/alertmanager", WEBHOOK).status_code == status


def test_a_daemon_that_does_not_answer(post: Post, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is tried again; and a defect of ours is no reason to tell its insides."""
    monkeypatch.setattr(changing, "PATIENCE_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(daemon, "take_in", lambda run, record: Future())
        assert post("/api/v1/runs/a/actions", {"actions": HALVE}).status_code == 503

    def fail(self: Driver, record: Any) -> Taken:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Driver, "take_in", fail)
    answer = post("/api/v1/runs/a/actions", {"actions": HALVE})
    assert (answer.status_code, answer.json()["errorType"]) == (500, "internal")
    assert "secret" not in answer.text


def test_a_reload(post: Post, daemon: Daemon, rules: Path) -> None:
    """200 with good rules; 500 with the reason with others, and the old ones stay, and stay ready."""
    rules.write_text(RULES.replace("loss > 5", "loss > 7"))
    assert post("/-/reload").status_code == 200
    assert daemon.rules().book.rules[0].source == "loss > 7"
    rules.write_text(RULES.replace("loss > 5", "los > 7"))
    answer = post("/-/reload")
    assert answer.status_code == 500
    assert "unknown signal 'los'; did you mean 'loss'?" in answer.text
    assert daemon.ready
    assert daemon.rules().book.rules[0].source == "loss > 7"
    assert not daemon.rules().last_reload_successful


def test_an_alert_of_alertmanagers(post: Post, trainer: ScriptedTrainer) -> None:
    """As version 0.25 sends it: the rule fires and acts, the verdict comes back; again it is known; then it is over."""
    first = post("/api/v1/alertmanager", WEBHOOK)
    assert first.status_code == 200
    [alert] = first.json()["data"]
    assert (alert["fingerprint"], alert["status"]) == ("a469b16f234255c9", "firing")
    [run] = alert["runs"]
    assert (run["run"], run["outcome"]) == ("a", "taken")
    [decision] = run["decisions"]
    assert decision == {
        "rule": "Hot",
        "verdict": "act",
        "reason": 'alert {alertname="GpuOverheating"} is firing: 91 degrees on node7',
        "intervention": "Hot.0.3",
    }
    for _ in range(3):
        again = post("/api/v1/alertmanager", WEBHOOK)
        assert again.status_code == 200
        assert again.json()["data"][0]["runs"] == [{"run": "a", "outcome": "known", "decisions": []}]
    over = post("/api/v1/alertmanager", _resolved(WEBHOOK)).json()["data"][0]["runs"]
    assert over == [{"run": "a", "outcome": "taken", "decisions": []}]
    assert len(interventions_of(trainer.run)) == 1
    notices = [told(record) for record in journal_of(trainer.run) if isinstance(record, AlertNotice)]
    assert notices == [
        "alert GpuOverheating fires: 91 degrees on node7",
        "alert GpuOverheating is over: 91 degrees on node7",
    ]


def test_what_policy_refuses_is_told(post: Post, trainer: ScriptedTrainer) -> None:
    """With 200: to try again would be no use."""
    post("/api/v1/alertmanager", WEBHOOK)
    other = copy.deepcopy(WEBHOOK)
    other["alerts"][0]["startsAt"] = "2026-11-23T18:00:00Z"
    answer = post("/api/v1/alertmanager", other)
    assert answer.status_code == 200
    assert answer.json()["data"][0]["runs"][0]["decisions"][0]["verdict"] == "hold_outranked"


def test_an_alert_and_a_run_that_can_not_be_followed(post: Post, new_trainer: NewTrainer, daemon: Daemon) -> None:
    """It is told to try again where it names the run, and not where it is about all there are: the others have it."""
    new_trainer("bad").run.info_file.write_text("{}")
    until(lambda: {view.run: view.state for view in daemon.runs()} == {"a": "driven", "bad": "failed"})
    named, every = copy.deepcopy(WEBHOOK), copy.deepcopy(WEBHOOK)
    named["alerts"][0]["labels"]["run"] = "bad"
    del every["alerts"][0]["labels"]["run"]
    answer = post("/api/v1/alertmanager", named)
    assert (answer.status_code, answer.json()["error"]) == (503, "can't be taken in just now by bad: try again")
    answer = post("/api/v1/alertmanager", every)
    assert answer.status_code == 200
    outcomes = {run["run"]: run["outcome"] for run in answer.json()["data"][0]["runs"]}
    assert outcomes == {"a": "taken", "bad": "failed"}


def test_an_alert_while_runs_are_only_found(
    runs: Path, rules: Path, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor that was just started has them send it again, whether the alert names a run or not."""
    monkeypatch.setattr(Driver, "poll", lambda *_: [])
    every = copy.deepcopy(WEBHOOK)
    del every["alerts"][0]["labels"]["run"]
    daemon = Daemon(runs, load_rules([str(rules)]))
    headers = {"authorization": f"Bearer {TOKEN}"}
    monkeypatch.setattr(Driver, "drain", lambda *_: [])
    with running(daemon), serving(build_app(daemon, door=Door(TOKEN))) as url:
        for webhook in (WEBHOOK, every):
            answer = httpx.post(f"{url}/api/v1/alertmanager", json=webhook, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (503, "can't be taken in just now by a: try again")


def test_which_run_an_alert_is_about(post: Post, new_trainer: NewTrainer, daemon: Daemon) -> None:
    """The one it names, and be it unknown; all that are driven if it names none."""
    for name in ("b", "over"):
        trainer = new_trainer(name)
        trainer.hello()
        if name == "over":
            trainer.goodbye()
        until(lambda run=trainer.run: openings_of(run))
    until(lambda: sorted(view.state for view in daemon.runs()) == ["driven", "driven", "ended"])
    unknown = copy.deepcopy(WEBHOOK)
    unknown["alerts"][0]["labels"]["run"] = "nowhere"
    answer = post("/api/v1/alertmanager", unknown)
    assert answer.status_code == 200
    assert answer.json()["data"][0]["runs"] == [{"run": "nowhere", "outcome": "no_run", "decisions": []}]
    every = copy.deepcopy(WEBHOOK)
    del every["alerts"][0]["labels"]["run"]
    runs = post("/api/v1/alertmanager", every).json()["data"][0]["runs"]
    assert [(run["run"], run["decisions"][0]["verdict"]) for run in runs] == [("a", "act"), ("b", "act")]


def test_a_group_of_alertmanagers(
    post: Post, new_trainer: NewTrainer, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """Captured from version 0.25: two alerts, and a third left out; then one is over, and the other comes again."""
    firing, resolved = json.loads((DATA / "alertmanager_group.json").read_text())
    other = new_trainer("b")
    other.hello()
    until(lambda: openings_of(other.run))
    outcomes = []
    for body in (firing, firing, resolved, resolved):
        answer = post("/api/v1/alertmanager", body)
        assert answer.status_code == 200
        outcomes.append([run["outcome"] for alert in answer.json()["data"] for run in alert["runs"]])
    assert outcomes == [["taken", "taken"], ["known", "known"], ["taken", "known"], ["known", "known"]]
    assert "left out 1 alerts" in caplog.text


def test_one_run_that_has_to_wait_keeps_no_other_waiting(
    post: Post, new_trainer: NewTrainer, daemon: Daemon, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, so that it comes again; but what could be taken in was."""
    other = new_trainer("b")
    other.hello()
    until(lambda: [view.catching_up for view in daemon.runs()] == [False, False])
    take_in = Driver.take_in

    def behind(self: Driver, record: Any) -> Taken:
        return Taken("behind") if self.run.name == "a" else take_in(self, record)

    firing = json.loads((DATA / "alertmanager_group.json").read_text())[0]
    with monkeypatch.context() as patch:
        patch.setattr(Driver, "take_in", behind)
        assert post("/api/v1/alertmanager", firing).status_code == 503
    assert len(interventions_of(other.run)) == 1
    assert post("/api/v1/alertmanager", firing).status_code == 200
    assert (len(interventions_of(trainer.run)), len(interventions_of(other.run))) == (1, 1)


def test_an_alert_of_grafanas(post: Post, trainer: ScriptedTrainer) -> None:
    """With its own version and fields of its own."""
    answer = post("/api/v1/alertmanager", json.loads((DATA / "grafana.json").read_text()))
    assert answer.status_code == 200
    assert answer.json()["data"][0]["runs"][0]["decisions"][0]["verdict"] == "act"


def test_an_alert_without_a_fingerprint(post: Post) -> None:
    """Its labels tell it from others."""
    body = copy.deepcopy(WEBHOOK)
    del body["alerts"][0]["fingerprint"]
    first, again = (post("/api/v1/alertmanager", body).json()["data"][0] for _ in range(2))
    assert first["fingerprint"] == again["fingerprint"]
    assert (first["runs"][0]["outcome"], again["runs"][0]["outcome"]) == ("taken", "known")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": "5"}, "Invalid enum value '5' - at `$.version`"),
        ({"alerts": None}, "Expected `array`, got `null` - at `$.alerts`"),
        ({"alerts": [{"status": "firing"}]}, "Object missing required field `labels` - at `$.alerts[0]`"),
        ({"alerts": [{"status": "on", "labels": {}, "startsAt": ""}]}, "Invalid enum value 'on'"),
    ],
)
def test_what_is_no_webhook(post: Post, change: Any, complaint: str) -> None:
    """400 and where: it is not for us."""
    answer = post("/api/v1/alertmanager", WEBHOOK | change)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


def _resolved(webhook: Any) -> Any:
    over = copy.deepcopy(webhook)
    over["status"] = over["alerts"][0]["status"] = "resolved"
    over["alerts"][0]["endsAt"] = "2026-11-23T15:09:27.435Z"
    return over
