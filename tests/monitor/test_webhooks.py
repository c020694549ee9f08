"""Notifications on their way to real webhooks: what is sent, what is tried again, and what is given up."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.helpers import START, ScriptedTrainer, derived_in, interventions_of, journal_of, running
from tests.support.waiting import until
from trainguard_monitor.daemon import Clock, Daemon
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.private import PrivateFileError
from trainguard_monitor.webhooks.file import read_webhooks
from trainguard_monitor.webhooks.sender import ATTEMPTS, MOST_WAITING, OLDEST_SECONDS, Webhooks
from trainguard_rules import RuleBook, load_text
from trainguard_rules.deciding.notifications import Notification
from trainguard_wire import Delivered, Outcome

QUICK = 0.001


class Webhook:
    """A server that takes what is posted, and answers each with the next of ``answers``, the last one for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers or (200,))
        self.bodies: list[dict[str, Any]] = []
        self.released = threading.Event()
        self.released.set()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.released.wait(10)
                webhook.bodies.append(json.loads(body))
                self.send_response(webhook.answers.pop(0) if len(webhook.answers) > 1 else webhook.answers[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-path"

    @property
    def ids(self) -> list[str]:
        return [body["alerts"][0]["fingerprint"] for body in self.bodies]


@contextmanager
def webhook(*answers: int) -> Iterator[Webhook]:
    hook = Webhook(*answers)
    thread = threading.Thread(target=hook.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        hook.released.set()
        hook.server.shutdown()
        hook.server.server_close()
        thread.join()


def notification(identity: str = "G.0.1.0", to: str = "oncall", seconds_ago: float = 0.0) -> Notification:
    return Notification(
        identity, to, "loss is 30", "G", {"severity": "critical"}, "loss > 10", 7, time.time() - seconds_ago
    )


class Told:
    """What became of notifications, by their ids."""

    def __init__(self) -> None:
        self.all: dict[str, Delivered] = {}

    def __call__(self, run: str, delivered: Delivered) -> None:
        self.all[delivered.action] = delivered

    def status(self, identity: str = "G.0.1.0") -> str | None:
        return self.all[identity].status if identity in self.all else None


def test_what_is_sent_is_what_alertmanager_sends() -> None:
    """Version 4 of its webhook: one alert, with the rule, the run and the rule's labels."""
    told = Told()
    with webhook() as hook:
        webhooks = Webhooks({"oncall": hook.url}, told)
        webhooks.send("a", notification())
        until(lambda: told.status() == "applied")
        webhooks.close(1)
    [body] = hook.bodies
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "oncall")
    [alert] = body["alerts"]
    assert alert["labels"] == {"alertname": "G", "run": "a", "severity": "critical"}
    assert alert["annotations"] == {"summary": "loss is 30", "reason": "loss > 10", "step": "7"}
    assert alert["fingerprint"] == "G.0.1.0"
    assert alert["startsAt"].endswith("Z")


@pytest.mark.parametrize(
    ("answers", "status", "attempts"),
    [
        ([200], "applied", 1),
        ([204], "applied", 1),
        ([503, 500, 200], "applied", 3),
        ([500], "failed", ATTEMPTS),
        ([302], "failed", ATTEMPTS),
        ([404], "failed", ATTEMPTS),
    ],
)
def test_what_fails_is_tried_again_and_given_up_in_the_end(answers: list[int], status: str, attempts: int) -> None:
    """The reason says what the webhook said, and not where it is: that may be a secret."""
    told = Told()
    with webhook(*answers) as hook:
        webhooks = Webhooks({"oncall": hook.url}, told, pause=QUICK)
        webhooks.send("a", notification())
        until(lambda: told.status() == status)
        webhooks.close(1)
        assert len(hook.bodies) == attempts
    reason = told.all["G.0.1.0"].reason
    assert "secret" not in reason
    if status == "failed":
        assert reason.startswith(f"given up after {ATTEMPTS} attempts: the webhook answered {answers[0]}")


def test_a_webhook_that_is_not_there() -> None:
    """Nobody listens."""
    told = Told()
    with webhook() as hook:
        url = hook.url
    webhooks = Webhooks({"oncall": url}, told, pause=QUICK)
    webhooks.send("a", notification())
    until(lambda: told.status() == "failed")
    webhooks.close(1)
    assert "Connection refused" in told.all["G.0.1.0"].reason


def test_what_is_wrong_with_an_address_is_told_without_it() -> None:
    """The library's own words have it in full."""
    told = Told()
    webhooks = Webhooks({"oncall": "http://127.0.0.1/secret\x01"}, told, pause=QUICK)
    webhooks.send("a", notification())
    until(lambda: told.status() == "failed")
    webhooks.close(1)
    assert told.all["G.0.1.0"].reason == f"given up after {ATTEMPTS} attempts: InvalidURL"


def test_between_attempts_it_rests_and_after_the_last_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer each time, half a minute in all."""
    rests: list[float] = []
    monkeypatch.setattr("trainguard_monitor.webhooks.sender._Carrier._rests", lambda _, seconds: rests.append(seconds))
    told = Told()
    with webhook(500) as hook:
        webhooks = Webhooks({"oncall": hook.url}, told)
        webhooks.send("a", notification())
        until(lambda: told.status() == "failed")
        webhooks.close(1)
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_what_is_handed_over_again_is_not_sent_again() -> None:
    """While it is on its way nothing happens; later the answer is given again, since it may not have arrived."""
    answers: list[Delivered] = []
    with webhook() as hook:
        hook.released.clear()
        webhooks = Webhooks({"oncall": hook.url}, lambda _, delivered: answers.append(delivered))
        told = notification()
        webhooks.send("a", told)
        webhooks.send("a", told)
        hook.released.set()
        until(lambda: answers)
        webhooks.send("a", told)
        webhooks.send("a", told._replace(time=told.time + 1))  # of a run that was made anew under the same name
        webhooks.send("b", told)
        webhooks.close(5)
    assert answers == [Delivered(action="G.0.1.0", status="applied")] * 4
    assert hook.ids == ["G.0.1.0"] * 3


def test_what_cannot_be_sent_at_all_is_answered_at_once() -> None:
    """An unknown name, and old news."""
    told = Told()
    webhooks = Webhooks({"chat": "http://127.0.0.1:1/"}, told)
    webhooks.send("a", notification("x"))
    webhooks.send("a", notification("y", "chat", seconds_ago=OLDEST_SECONDS + 60))
    webhooks.close(0)
    assert told.all["x"].status == "refused"
    assert told.all["x"].reason == "this monitor has no webhook 'oncall' (it has chat)"
    assert told.all["y"].status == "expired"
    assert told.all["y"].reason.startswith("it was decided 36")


def test_one_that_hangs_holds_up_no_other_and_has_a_bounded_queue() -> None:
    """The oldest of those that wait is given up, and said to be."""
    told = Told()
    with webhook() as slow, webhook() as quick:
        slow.released.clear()
        webhooks = Webhooks({"slow": slow.url, "quick": quick.url}, told)
        for i in range(MOST_WAITING + 3):
            webhooks.send("a", notification(f"s{i}", "slow"))
        webhooks.send("a", notification("q", "quick"))
        until(lambda: told.status("q") == "applied")
        dropped = [identity for identity, delivered in told.all.items() if delivered.status == "failed"]
        assert dropped in (["s1", "s2"], ["s0", "s1", "s2"])  # the thread may have taken the first out, or not yet
        slow.released.set()
        until(lambda: len(told.all) == MOST_WAITING + 4)
        webhooks.close(5)
    assert slow.ids == [f"s{i}" for i in range(MOST_WAITING + 3) if f"s{i}" not in dropped]


def test_at_the_end_each_is_tried_once_more_and_not_waited_for() -> None:
    """What fails then is not answered: the next monitor tries."""
    told = Told()
    with webhook(500) as hook:
        webhooks = Webhooks({"oncall": hook.url}, told, pause=60.0)
        webhooks.send("a", notification("x"))
        webhooks.send("a", notification("y"))
        until(lambda: hook.bodies)
        webhooks.close(5)
        assert hook.ids == ["x", "y"]
    assert told.all == {}


# -- the file --------------------------------------------------------------------------------------------------


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_webhook_file(tmp_path: Path) -> None:
    """A line each; blank lines and comments say nothing."""
    text = "# who is to know\n\noncall  https://example.org/hook?key=1\n\tchat\thttp://[::1]:8080/ \n"
    assert read_webhooks(private(tmp_path / "w", text)) == {
        "oncall": "https://example.org/hook?key=1",
        "chat": "http://[::1]:8080/",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("on-call https://a.b/", "line 1: wanted NAME and URL, the name of letters, digits and '_'"),
        ("https://a.b/secret", "line 1: wanted NAME and URL"),
        ("on-call\thttps://a.b/secret", "line 1: wanted NAME and URL"),
        ("a https://a.b/\na https://a.c/", "line 2: there is already a webhook 'a'"),
        ("a", "line 1: webhook 'a' wants an address"),
        ("a ftp://a.b/", "line 1: webhook 'a' wants an address, http://... or https://..."),
        ("a https:///x", "wants an address"),
        ("a https://a.b/ secret", "wants an address"),
        ("a https://[::1/", "wants an address"),
        ("a https://a.b:99999/", "wants an address"),
        ("a https://a.b/\x01secret", "wants an address"),
        ("a https://a.b/\tsecret", "wants an address"),
        ("a https://a.b/\u00e4secret", "wants an address"),
        ("a https://me:secret@a.b/", "wants an address"),
    ],
)
def test_a_webhook_file_that_is_no_good(text: str, complaint: str, tmp_path: Path) -> None:
    """Where, and what is wanted; an address is not repeated."""
    with pytest.raises(PrivateFileError, match=complaint.replace(".", "[.]")) as caught:
        read_webhooks(private(tmp_path / "w", text))
    assert "secret" not in str(caught.value)


def test_a_webhook_file_that_others_may_read(tmp_path: Path) -> None:
    """It holds secrets."""
    path = private(tmp_path / "w", "a https://a.b/")
    path.chmod(0o644)
    with pytest.raises(PrivateFileError, match="mode 0644 lets others than its owner at it: chmod 600"):
        read_webhooks(path)


# -- the whole way ---------------------------------------------------------------------------------------------

RULES = """
settle: 0 steps
groups:
  - name: g
    rules:
      - guard: Explosion
        expr: grad_norm > 10
        actions: [{stop: {}}, {notify: {to: oncall, message: "gradient norm {value:g} at step {step}"}}]
        cooldown: 5 steps
"""
CLOCK = Clock(wall=lambda: START + 100)


@pytest.fixture
def notifying() -> RuleBook:
    return load_text(RULES)


def endings(trainer: ScriptedTrainer) -> list[tuple[str, str]]:
    return [(r.action, r.status) for r in derived_in(trainer.run) if isinstance(r, Outcome) and r.kind == "notify"]


def test_from_the_sample_to_the_webhook_and_back(runs: Path, notifying: RuleBook, trainer: ScriptedTrainer) -> None:
    """What became of it stands in the journal, as an input and as an outcome; a monitor that starts again is silent."""
    with webhook() as hook:
        with running(Daemon(runs, notifying, clock=CLOCK, webhooks={"oncall": hook.url})):
            trainer.sample(loss=1.0, grad_norm=50.0)
            until(lambda: endings(trainer))
        trainer.sample(loss=1.0, grad_norm=1.0)
        with running(Daemon(runs, notifying, clock=CLOCK, webhooks={"oncall": hook.url})) as daemon:
            until(lambda: [view.step for view in daemon.runs()] == [2])
    [body] = hook.bodies
    assert body["commonAnnotations"]["summary"] == "gradient norm 50 at step 1"
    assert endings(trainer) == [("Explosion.0.1.1", "applied")]
    assert [action.kind for action in interventions_of(trainer.run)[0].actions] == ["stop"]
    [delivered] = [record for record in journal_of(trainer.run) if isinstance(record, Delivered)]
    assert (delivered.after_record, delivered.time) == (2, START + 100)


def test_a_run_that_is_taken_up_anew_notifies_once(notifying: RuleBook, trainer: ScriptedTrainer) -> None:
    """It could not be followed for a moment, with the letter on its way; the answer comes when nobody can take it."""
    with webhook() as hook:
        hook.released.clear()
        webhooks = Webhooks(
            {"oncall": hook.url},
            lambda _, delivered: taken.append(driver.take_in(delivered).how),
            clock=CLOCK.wall,
        )
        taken: list[str] = []
        driver = Driver(trainer.run, notifying, clock=CLOCK.wall, notify=lambda n: webhooks.send("a", n))
        driver.drain(0.0)
        trainer.sample(loss=1.0, grad_norm=50.0)
        driver.drain(1.0)
        driver.fail()
        hook.released.set()
        until(lambda: taken == ["behind"])
        driver.drain(2.0)
        driver.drain(3.0)
        driver.close()
        webhooks.close(5)
    assert taken == ["behind", "taken"]
    assert hook.ids == ["Explosion.0.1.1"]
    assert endings(trainer) == [("Explosion.0.1.1", "applied")]


def test_the_end_of_a_training_is_told(runs: Path, notifying: RuleBook, trainer: ScriptedTrainer) -> None:
    """A run that said goodbye meanwhile, and a monitor that ends with it."""
    with webhook() as hook:
        with running(Daemon(runs, notifying, clock=CLOCK, webhooks={"oncall": hook.url})) as daemon:
            until(lambda: [view.catching_up for view in daemon.runs()] == [False])
            trainer.sample(loss=1.0, grad_norm=50.0)
            trainer.goodbye()
        assert hook.ids == ["Explosion.0.1.1"]
    assert endings(trainer) == [("Explosion.0.1.1", "applied")]


def test_what_a_monitor_did_not_get_rid_of_is_sent_by_the_next(
    runs: Path, notifying: RuleBook, trainer: ScriptedTrainer
) -> None:
    """Under the same id. Without a webhook of that name it is refused, which ends it."""
    with webhook(500) as down, running(Daemon(runs, notifying, clock=CLOCK, webhooks={"oncall": down.url})):
        trainer.sample(loss=1.0, grad_norm=50.0)
        until(lambda: down.bodies)
    assert endings(trainer) == []
    with webhook() as up:
        with running(Daemon(runs, notifying, clock=CLOCK, webhooks={"oncall": up.url})):
            until(lambda: endings(trainer))
        assert up.ids == ["Explosion.0.1.1"]
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.samples(8, loss=1.0, grad_norm=50.0)
    with running(Daemon(runs, notifying, clock=CLOCK)):
        until(lambda: len(endings(trainer)) == 2)
    assert [status for _, status in endings(trainer)] == ["applied", "refused"]


def test_nothing_is_sent_that_is_not_on_record(
    trainer: ScriptedTrainer, notifying: RuleBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the journal can't be written, it waits; and it is handed over once."""
    sent: list[Notification] = []
    driver = Driver(trainer.run, notifying, clock=CLOCK.wall, notify=sent.append)
    driver.drain(0.0)
    trainer.sample(loss=1.0, grad_norm=50.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trainguard_wire.outbox.Outbox._write_journal", full)
        driver.drain(1.0)
        assert sent == []
    driver.drain(2.0)
    driver.drain(3.0)
    assert [notification.id for notification in sent] == ["Explosion.0.1.1"]
    driver.take_in(Delivered(action="Explosion.0.1.1", status="applied"))
    assert driver.take_in(Delivered(action="Explosion.0.1.1", status="applied")).how == "known"
    driver.close()
