"""Server-sent events, on a real port: what happens arrives, and nobody who listens badly holds anybody up."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer, interventions_of, openings_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.feed import MOST_NEWS, MOST_SAMPLES, Feed, Listener, Lost, Word
from trainguard_monitor.http import events
from trainguard_monitor.http.app import build_app
from trainguard_wire import Sample, Transition


@pytest.fixture
def daemon(runs: Any, book: Any) -> Iterator[Daemon]:
    with running(Daemon(runs, book)) as daemon:
        yield daemon


@pytest.fixture
def url(daemon: Daemon) -> Iterator[str]:
    with serving(build_app(daemon)) as url:
        yield url
        daemon.feed.close()


@contextmanager
def listening(url: str, daemon: Daemon) -> Iterator[Iterator[tuple[str, Any]]]:
    """Events as (name, data); comments have the name ""."""
    before = daemon.feed.num_listeners
    with httpx.stream("GET", url, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        until(lambda: daemon.feed.num_listeners > before)
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith(":"):
            yield "", line
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def take(events: Iterator[tuple[str, Any]], name: str) -> Any:
    return next(data for found, data in events if found == name)


def test_what_happens_in_a_run(url: str, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """Samples in columns, then the transition, the decision, and the outcome, as the journal has them."""
    until(lambda: openings_of(trainer.run))
    with listening(f"{url}/api/v1/runs/a/events", daemon) as stream:
        trainer.sample(loss=1.0, grad_norm=50.0)
        transition = take(stream, "transition")
        assert (transition["run"], transition["after"], transition["step"]) == ("a", "firing", 1)
        decision = take(stream, "decision")
        assert decision["verdict"] == "act"
        assert decision["text"].endswith("scale_lr by 0.5")
        samples = take(stream, "samples")
        assert (samples["run"], samples["step"]) == ("a", 1)
        assert samples["signals"]["grad_norm"]["step"] == [1]
        trainer.apply(interventions_of(trainer.run)[0])
        assert take(stream, "outcome")["status"] == "applied"
        trainer.goodbye()
        assert take(stream, "goodbye")["outcome"] == "finished"


def test_one_run_or_all(url: str, daemon: Daemon, new_trainer: NewTrainer) -> None:
    """Who listens to one run hears nothing of another; who listens to all hears of runs that come."""
    first = new_trainer("a")
    first.hello()
    until(lambda: openings_of(first.run))
    with listening(f"{url}/api/v1/runs/a/events", daemon) as one, listening(f"{url}/api/v1/events", daemon) as all_:
        other = new_trainer("b")
        assert take(all_, "found") == {"run": "b"}
        other.hello()
        assert take(all_, "followed") == {"run": "b"}
        other.sample(loss=1.0)
        assert take(all_, "samples")["run"] == "b"
        first.checkpoint()
        assert next((name, data["run"]) for name, data in one if name) == ("checkpoint", "a")


def test_only_what_was_asked_for(url: str, daemon: Daemon, trainer: ScriptedTrainer) -> None:
    """A listener may choose among the types of events; samples are one of them."""
    until(lambda: openings_of(trainer.run))
    with listening(f"{url}/api/v1/events?type=decision&type=goodbye", daemon) as stream:
        trainer.samples(3, loss=1.0, grad_norm=50.0)
        assert next(name for name, _ in stream if name) == "decision"
        trainer.goodbye()
        assert next(name for name, _ in stream if name != "decision") == "goodbye"


def test_a_heartbeat_when_there_is_nothing(url: str, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment, which a browser passes over."""
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.02)
    with listening(f"{url}/api/v1/events", daemon) as stream:
        assert next(line for name, line in stream if name == "" and "heartbeat" in line)


def test_the_end_of_the_monitor_is_the_end_of_the_stream(url: str, daemon: Daemon) -> None:
    """No listener keeps a monitor from stopping."""
    with listening(f"{url}/api/v1/events", daemon) as stream:
        daemon.stop()
        assert [name for name, _ in stream if name] == []


def test_no_more_listeners_than_there_is_room_for(url: str, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is told to come back later."""
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)
    with listening(f"{url}/api/v1/events", daemon):
        answer = httpx.get(f"{url}/api/v1/events")
        assert answer.status_code == 503
        assert answer.json()["error"] == "1 listeners already: try again later"


def test_who_does_not_keep_up_loses_what_is_oldest() -> None:
    """Queues are bounded, the newest stays, and what was lost is counted."""

    async def scenario() -> None:
        feed = Feed()
        with Listener(feed, asyncio.get_running_loop()) as listener:
            samples = [Sample(step=step, generation=0, time=0.0, values={"loss": 1.0}) for step in range(10_000)]
            feed.publish("a", samples, [])
            for step in range(3000):
                feed.publish("a", [], [_fired(step)])
            assert await listener.wait(1)
            samples = [sample.step for _, sample in listener.take_samples()]
            assert samples == list(range(10_000 - MOST_SAMPLES, 10_000))
            lost, news = listener.take_news()
            assert lost == Lost(news=3000 - MOST_NEWS, samples=10_000 - MOST_SAMPLES)
            assert [item.record for item in news] == [_fired(step) for step in range(3000 - MOST_NEWS, 3000)]
            assert listener.take_news() == (Lost(), [])
        feed.publish("a", [], [Word("found")])
        assert feed.num_listeners == 0

    asyncio.run(scenario())


def test_of_samples_too_it_is_told_how_many_were_lost(url: str, daemon: Daemon) -> None:
    """More at once than a listener's queue holds."""
    with listening(f"{url}/api/v1/events", daemon) as stream:
        many = [Sample(step=step, generation=0, time=0.0, values={"loss": 1.0}) for step in range(MOST_SAMPLES + 5)]
        daemon.feed.publish("a", many, [])
        assert take(stream, "dropped") == {"events": 0, "samples": 5}
        assert take(stream, "samples")["step"] == MOST_SAMPLES + 4


def _fired(step: int) -> Transition:
    return Transition(step=step, generation=0, time=0.0, rule="R", before="inactive", after="firing")
