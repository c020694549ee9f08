"""A browser for all tests of the page, and a monitor with a run that has a story."""

import time
from collections.abc import Iterator

import pytest

from tests.monitor import helpers
from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of, serving
from tests.support.browser import Browser, chromium
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.security import Door

TOKEN = "a-token-of-many-characters"


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """A fresh tab on a laptop in daylight. Whatever the page logs to the console fails the test."""
    one_browser.open("about:blank")
    one_browser.screen(1280, 900)
    one_browser.scheme("light")
    one_browser.complaints()
    yield one_browser
    assert one_browser.complaints() == []


@pytest.fixture
def url(daemon: Daemon, browser: Browser) -> Iterator[str]:
    with serving(build_app(daemon, door=Door(TOKEN))) as url:
        yield url
        browser.forget(url)
        daemon.feed.close()


@pytest.fixture
def story(daemon: Daemon, new_trainer: NewTrainer, monkeypatch: pytest.MonkeyPatch) -> ScriptedTrainer:
    """240 steps, one a second, the last of them now: a norm that explodes at step 121, half the rate, and peace."""
    monkeypatch.setattr(helpers, "START", time.time() - 240)
    trainer = new_trainer("a")
    trainer.hello()
    for step in range(1, 121):
        trainer.sample(loss=1 + 100 / (step + 50), grad_norm=1 + step % 7 / 10, lr=0.1, confidence=0.5)
        if step == 100:
            trainer.checkpoint()
    trainer.samples(3, loss=6.0, grad_norm=99.0, lr=0.1, confidence=0.2)
    until(lambda: interventions_of(trainer.run))
    trainer.samples(12, loss=6.0, grad_norm=99.0, lr=0.1, confidence=0.2)
    trainer.apply(interventions_of(trainer.run)[0])
    layers = {"stages.2.attention.qkv.weight": 0.8, "embed.weight": 0.2}
    for step in range(1, 106):
        trainer.sample(layers=layers, loss=1.4, grad_norm=1 + step % 7 / 10, lr=0.05, confidence=0.7)
    until(lambda: daemon.runs()[0].step == 240)
    return trainer


@pytest.fixture
def page(browser: Browser, url: str, story: ScriptedTrainer) -> Browser:
    """The page of the run, drawn."""
    browser.open(f"{url}/?run=a")
    browser.until(lambda: "Show in the charts" in browser.text("#timeline"))
    return browser
