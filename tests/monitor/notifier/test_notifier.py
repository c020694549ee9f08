"""From a guard that fires to a real Alertmanager that knows of it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.monitor.helpers import RULES, START, ScriptedTrainer, running
from tests.support.daemons import alertmanager, free_port
from tests.support.receiver import receiving
from tests.support.tools import need
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.notifier.alert import Alert
from trainguard_monitor.notifier.endpoint import Endpoint
from trainguard_monitor.notifier.metrics import NotifierCollector
from trainguard_monitor.notifier.notifier import Notifier
from trainguard_monitor.notifier.outgoing import Timing
from trainguard_rules import load_text

QUICK = Timing(resend=0.3, hold=0.2, first_retry=0.05, last_retry=0.2)
PATIENT = Timing(first_retry=0.05, last_retry=0.2)
LABELLED = RULES + "        labels: {severity: critical}\n        annotations: {summary: 'norm {value:.3g}'}\n"
LINK = "https://monitors.example.org/gpu7"
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"

StartAlertmanager = Callable[[], Any]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> StartAlertmanager:
    """An Alertmanager, always at the same address and with the same data."""
    config = tmp_path / "alertmanager.yml"
    config.write_text(CONFIG)
    return lambda: alertmanager(config, tmp_path / "alertmanager", port)


@contextmanager
def notifying(*urls: str, timing: Timing = QUICK) -> Iterator[Notifier]:
    notifier = Notifier([Endpoint(url) for url in urls], LINK, timing)
    notifier.start()
    try:
        yield notifier
    finally:
        notifier.stop()


@contextmanager
def monitoring(trainer: ScriptedTrainer, notifier: Notifier) -> Iterator[Daemon]:
    with running(Daemon(trainer.run.path.parent, load_text(LABELLED), sink=notifier)) as daemon:
        until(lambda: [view.catching_up for view in daemon.runs()] == [False])
        yield daemon


def known(url: str) -> list[dict[str, Any]]:
    """The alerts that Alertmanager has and that are not over."""
    alerts: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").json()
    return alerts


def text_of(notifier: Notifier) -> str:
    registry = CollectorRegistry()
    registry.register(NotifierCollector(notifier))
    return generate_latest(registry).decode()


def explode(trainer: ScriptedTrainer) -> None:
    trainer.sample(loss=1.0, grad_norm=99.0)


def test_alertmanager_knows_of_a_guard_that_fires(trainer, start):
    """All there is to know; and, after it is over, that it is."""
    with start() as url, notifying(url) as notifier, monitoring(trainer, notifier):
        trainer.samples(3)
        explode(trainer)
        until(lambda: known(url))
        [alert] = known(url)
        assert alert["labels"] == {"alertname": "GradientExplosion", "run": "a", "severity": "critical"}
        assert alert["annotations"] == {"summary": "norm 99", "value": "99"}
        assert alert["startsAt"] == datetime.fromtimestamp(START + 4, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert alert["generatorURL"] == f"{LINK}/?run=a"
        trainer.samples(1)
        until(lambda: known(url) == [])
        assert re.search(rf'trainguard_notifications_total{{alertmanager="{url}"}} [2-9]', text_of(notifier))


def test_promtool_has_no_objections():
    notifier = Notifier([Endpoint("http://127.0.0.1:9093")], LINK)
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input=text_of(notifier), text=True, capture_output=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_is_told_again_after_it_was_restarted(trainer, start, port):
    """It forgets everything; the monitor does not. And what happened while it was away is not lost."""
    url = f"http://127.0.0.1:{port}"
    with notifying(url) as notifier, monitoring(trainer, notifier):
        explode(trainer)
        until(lambda: sum(notifier.views()[0].failed.values()) > 1)
        assert notifier.views()[0].queued == 1
        for _ in range(2):
            with start():
                until(lambda: known(url))
                assert [alert["labels"]["run"] for alert in known(url)] == ["a"]
        assert set(notifier.views()[0].failed) == {"unreachable"}


def test_a_monitor_that_is_restarted_speaks_of_the_same_alert(trainer, start):
    with start() as url:
        seen = []
        for _ in range(2):
            with notifying(url, timing=PATIENT) as notifier, monitoring(trainer, notifier):
                if not seen:
                    explode(trainer)
                until(lambda: notifier.views()[0].sent)
            seen.append([(alert["fingerprint"], alert["startsAt"]) for alert in known(url)])
        assert seen[0] == seen[1]
        assert len(seen[0]) == 1


def test_one_that_hangs_does_not_keep_the_others_waiting(trainer, start):
    with receiving() as other, start() as url, notifying(other.url, url, timing=PATIENT) as notifier:
        other.status = 503
        with monitoring(trainer, notifier):
            explode(trainer)
            until(lambda: known(url))
            until(lambda: len(other.requests) > 2)
            assert notifier.views()[0].failed["server_error"] >= 2
            assert notifier.views()[1].failed == {}


def test_an_alert_that_can_not_be_sent_does_not_cost_the_others(caplog):
    """Whatever is wrong with it: it is dropped, counted and said to be our defect."""
    with receiving() as receiver, notifying(receiver.url) as notifier:
        for run in ("bad\udcff", "a", "b"):
            notifier.put(Alert(run=run, rule="R", labels={"run": run}, annotations={}, since=START))
        until(lambda: {a["labels"]["run"] for r in receiver.requests for a in json.loads(r.body)} == {"a", "b"})
        until(lambda: notifier.views()[0].queued == 0)
        assert notifier.views()[0].failed["refused"] >= 1
    assert "refuses an alert: it can't be sent: UnicodeEncodeError" in caplog.text


def test_the_last_word_goes_out_before_the_end(trainer):
    """The training ends in an incident, and the monitor with it."""
    with receiving() as receiver:
        with notifying(receiver.url) as notifier, monitoring(trainer, notifier):
            explode(trainer)
            trainer.goodbye()
        bodies = [json.loads(request.body) for request in receiver.requests]
        assert "endsAt" in bodies[-1][0]
        assert notifier.views()[0].queued == 0


def test_a_monitor_ends_though_nobody_answers(trainer):
    """It does not wait for an Alertmanager that is not there."""
    with notifying(f"http://127.0.0.1:{free_port()}") as notifier, monitoring(trainer, notifier):
        explode(trainer)
        until(lambda: notifier.views()[0].failed)
    assert notifier.views()[0].queued == 1
