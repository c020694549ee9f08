"""The list of runs, in a real browser over a real monitor."""

import time

import pytest

from tests.monitor import helpers
from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import VARIED_RULES, ScriptedTrainer
from tests.support.browser import Browser
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_rules import load_text


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainers' clocks are right."""
    monkeypatch.setattr(helpers, "START", time.time())


def names(browser: Browser) -> list[str]:
    """As they are shown, from the top."""
    found: list[str] = browser.js("[...document.querySelectorAll('#runs tbody a')].map((link) => link.innerText)")
    return found


def begun(new_trainer: NewTrainer, name: str, **values: float) -> ScriptedTrainer:
    trainer = new_trainer(name)
    trainer.hello()
    trainer.samples(3, **(values or {"loss": 1.0, "grad_norm": 1.0}))
    return trainer


def test_worst_first(browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """In trouble, then with a warning, then healthy, then over; it follows what happens."""
    calm, ended = begun(new_trainer, "calm"), begun(new_trainer, "ended")
    ended.goodbye()
    begun(new_trainer, "watched", loss=5.0, grad_norm=1.0)
    begun(new_trainer, "broken", loss=1.0, grad_norm=99.0)
    browser.open(url)
    browser.until(lambda: names(browser) == ["broken", "watched", "calm", "ended"])
    health = [cell.text for cell in browser.all("#runs .health")]
    assert health == ["In trouble", "On watch", "Healthy", "Finished"]
    assert browser.text("#runs-summary") == "4 runs, 1 in trouble, 1 with a warning"
    calm.samples(3, loss=1.0, grad_norm=99.0)
    browser.until(lambda: names(browser)[:2] == ["broken", "calm"])
    browser.until(lambda: "calm: norm 99" in browser.js("document.getElementById('announcer').textContent"))
    begun(new_trainer, "newcomer")
    browser.until(lambda: "newcomer" in names(browser))


def test_who_waits_and_how_runs_ended(
    browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said in the list: a run that waits is not silent, as long as it shows signs of life."""
    monkeypatch.setattr(helpers, "START", time.time() - 300)
    begun(new_trainer, "gone")
    for name in ("waits", "ill", "dead", "asks"):
        values = {"loss": 9.0 if name == "asks" else 1.0, "grad_norm": 99.0 if name == "ill" else 1.0}
        trainer = begun(new_trainer, name, **values)
        if name != "asks":
            trainer.ack("pause")
        if name != "dead":
            trainer.step += 297
            trainer.heartbeat()
    for name, way in {"done": {}, "halted": {"stopped": True}, "broken": {"error": "RuntimeError: boom"}}.items():
        trainer = begun(new_trainer, name, grad_norm=99.0 if name == "halted" else 1.0, loss=1.0)
        trainer.goodbye(**way)
    browser.open(url)
    wanted = {
        "waits": "Paused",
        "ill": "Paused in trouble",
        "dead": "Silent for 5 min",
        "asks": "Waiting for you",
        "gone": "Silent for 5 min",
        "done": "Finished",
        "halted": "Stopped in trouble",
        "broken": "Failed with an error",
    }
    rows = "[...document.querySelectorAll('#runs tbody tr')]"
    shown = f"Object.fromEntries({rows}.map((row) => [...row.cells].map((cell) => cell.innerText)))"
    browser.until(lambda: browser.js(shown) == wanted)
    browser.open(f"{url}/?run=waits")
    browser.until(
        lambda: browser.text("#story").startswith("The training has been paused for 4 min. No rule is firing.")
    )
    browser.open(f"{url}/?run=broken")
    browser.until(lambda: browser.text("#story").startswith("The training ended with RuntimeError: boom. "))


def test_other_rules(browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """How bad it is that a rule fires is for those in force to say."""
    begun(new_trainer, "a", loss=1.0, grad_norm=99.0)
    browser.open(url)
    browser.until(lambda: [cell.text for cell in browser.all("#runs .health")] == ["In trouble"])
    daemon.replace_rules(load_text(VARIED_RULES.replace("critical", "warning")))
    browser.until(lambda: [cell.text for cell in browser.all("#runs .health")] == ["Warning"])


def test_filter(browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """By name, health or rule, all words of it."""
    begun(new_trainer, "llm-7b", loss=1.0, grad_norm=99.0)
    begun(new_trainer, "llm-1b")
    begun(new_trainer, "vit")
    browser.open(url)
    browser.until(lambda: len(names(browser)) == 3)
    field = browser.find("#runs-filter")
    for typed, left in (("LLM", ["llm-7b", "llm-1b"]), (" trouble", ["llm-7b"]), (" vit", [])):
        field.send_keys(typed)
        assert names(browser) == left
    assert browser.text("#runs-none") == "No run matches the filter."


def test_no_run_yet(browser: Browser, url: str) -> None:
    """It is said, and the first one appears."""
    browser.open(url)
    browser.until(lambda: browser.text("#runs-none").startswith("There is no run yet."))


def test_many_runs(browser: Browser, url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """Three hundred are drawn, filtered and kept true without the page being noticed."""
    for number in range(300):
        begun(new_trainer, f"run-{number}")
    until(lambda: len(daemon.runs()) == 300 and all(view.step == 3 for view in daemon.runs()), 30)
    browser.open(url)
    browser.until(lambda: browser.js("document.querySelectorAll('#runs tbody tr').length") == 300)
    first = names(browser)[0]
    assert first == "run-0"
    browser.js("window.kept = document.querySelector('#runs tbody tr')")
    browser.find("#runs-filter").send_keys("run-299")
    assert names(browser) == ["run-299"]
    browser.find("#runs-filter").clear()
