"""A run diverges; Prometheus sees it, Alertmanager hands it over, a guard pauses the training, a person lets it go on.

The real programs, the configuration that is shipped, and a real training in a process of its own.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.daemons import alertmanager, free_port, prometheus
from tests.support.tools import need
from tests.support.waiting import until
from trainguard_wire import Ack, RunDirectory

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "grafana" / "alertmanager" / "alertmanager.yml"
TOKEN = "a-token-of-many-characters"
GUARDS = """\
groups:
  - name: from-outside
    rules:
      - guard: PausedFromOutside
        alert: {alertname: LossDiverged}
        actions: [{pause: {}}]
      - guard: LossHuge
        expr: loss > 1000
        labels: {severity: critical}
        annotations: {summary: "loss is {value:.3g}"}
"""
SCRAPE = """\
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["ALERTMANAGER"]}]}]}
scrape_configs: [{job_name: trainguard, static_configs: [{targets: ["MONITOR"]}]}]
"""
ALERTS = """\
groups:
  - name: runs
    rules:
      - alert: LossDiverged
        expr: trainguard_run_signal{signal="loss"} > 1000
        labels: {trainguard: act}
        annotations: {summary: "loss of {{ $labels.run }} is {{ $value }}"}
"""


class Stack:
    """Where everything answers, and the run."""

    def __init__(self, monitor: str, alertmanager: str, run: RunDirectory) -> None:
        self.monitor, self.alertmanager, self.run = monitor, alertmanager, run
        self._reader = run.read_telemetry()
        self._acks: list[Ack] = []

    def acks(self) -> list[tuple[str, str]]:
        while records := self._reader.read():
            self._acks += [record for record in records if isinstance(record, Ack)]
        return [(ack.kind, ack.status) for ack in self._acks]

    def step(self) -> int:
        return int(httpx.get(f"{self.monitor}/api/v1/runs/diverging").json()["data"]["step"])

    def order(self, *actions: dict[str, Any]) -> None:
        answer = httpx.post(
            f"{self.monitor}/api/v1/runs/diverging/actions",
            json={"actions": list(actions), "by": "ada"},
            headers={"authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status_code == 200, answer.text

    def alerts(self) -> dict[str, dict[str, Any]]:
        return {alert["labels"]["alertname"]: alert for alert in httpx.get(f"{self.alertmanager}/api/v2/alerts").json()}


@contextmanager
def process(*command: object) -> "Iterator[subprocess.Popen[bytes]]":
    running = subprocess.Popen([sys.executable, *map(str, command)])
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    for program in ("prometheus", "prometheus-alertmanager"):
        need(program)
    token, ready, guards = tmp_path / "token", tmp_path / "ready", tmp_path / "guards.yaml"
    token.write_text(TOKEN)
    token.chmod(0o600)
    guards.write_text(GUARDS)
    port = free_port()
    options = [f"--rules={guards}", "--listen=127.0.0.1:0", f"--ready-file={ready}", f"--token-file={token}"]
    options += [f"--alertmanager=http://127.0.0.1:{port}", "--log-level=error"]
    with ExitStack() as stack:
        stack.enter_context(process("-m", "trainguard_monitor", "monitor", tmp_path / "runs", *options))
        until(ready.exists)
        address = ready.read_text().strip()
        shipped = SHIPPED.read_text().replace("monitor:9464", address).replace("/etc/alertmanager/token", str(token))
        (tmp_path / "alertmanager.yml").write_text(shipped.replace("group_interval: 10s", "group_interval: 1s"))
        told = stack.enter_context(alertmanager(tmp_path / "alertmanager.yml", tmp_path / "alertmanager", port))
        (tmp_path / "rules.yml").write_text(ALERTS)
        config = tmp_path / "prometheus.yml"
        config.write_text(SCRAPE.replace("ALERTMANAGER", f"127.0.0.1:{port}").replace("MONITOR", address))
        stack.enter_context(prometheus(config, tmp_path / "prometheus"))
        run = RunDirectory(tmp_path / "runs" / "diverging")
        stack.enter_context(process(ROOT / "tests" / "loop" / "diverging.py", run.path))
        yield Stack(f"http://{address}", told, run)


def test_an_alert_pauses_the_training_and_a_person_lets_it_go_on(stack: Stack):
    until(lambda: ("pause", "applied") in stack.acks())
    until(lambda: stack.alerts().keys() == {"LossDiverged", "LossHuge", "PausedFromOutside"})
    ours = stack.alerts()["LossHuge"]
    assert ours["labels"] == {"alertname": "LossHuge", "run": "diverging", "severity": "critical"}
    assert ours["generatorURL"] == f"{stack.monitor}/?run=diverging"

    paused_at = stack.step()
    stack.order({"resume": {}})
    until(lambda: ("resume", "applied") in stack.acks())
    until(lambda: stack.step() > paused_at + 20)
    assert stack.acks().count(("pause", "applied")) == 1  # the alert fires on, and was answered

    stack.order({"stop": {}})
    until(lambda: ("stop", "applied") in stack.acks())
