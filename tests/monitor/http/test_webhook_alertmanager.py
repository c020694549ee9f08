"""A real Alertmanager and its own tool, to a real monitor: what is answered so that it neither gives up nor nags."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.monitor.helpers import ScriptedTrainer, interventions_of, journal_of, running, serving
from tests.support.daemons import alertmanager, free_port
from tests.support.tools import need
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.security import Door
from trainguard_rules import load_text
from trainguard_wire import AlertNotice

TOKEN = "a-token-of-many-characters"
RULES = """\
groups:
  - name: hardware
    rules:
      - guard: TooHot
        alert: {alertname: GpuOverheating}
        actions: [{scale_lr: {factor: 0.5}}]
"""
CONFIG = """\
route: {receiver: trainguard, group_by: [alertname], group_wait: 0s, group_interval: 200ms, repeat_interval: 300ms}
receivers:
  - name: trainguard
    webhook_configs:
      - url: URL/api/v1/alertmanager
        http_config: {authorization: {type: Bearer, credentials: TOKEN}}
"""


def test_an_alert_by_hand_is_answered_once_and_closed(tmp_path: Path, runs: Path, trainer: ScriptedTrainer):
    """However often Alertmanager repeats it; one about a run that is not there is no failure to it."""
    tool = need("amtool")
    trainer.samples(3)
    daemon = Daemon(runs, load_text(RULES))
    with running(daemon), serving(build_app(daemon, door=Door(TOKEN), loopback="127.0.0.1")) as url:
        until(lambda: [view.step for view in daemon.runs()] == [3])
        config = tmp_path / "alertmanager.yml"
        config.write_text(CONFIG.replace("URL", url).replace("TOKEN", TOKEN))
        with alertmanager(config, tmp_path / "alertmanager", free_port()) as server:

            def add(run: str, *options: str) -> None:
                command = [tool, f"--alertmanager.url={server}", "alert", "add", "GpuOverheating", f"run={run}"]
                subprocess.run([*command, "severity=critical", *options], check=True, capture_output=True)

            def sent(metric: str) -> float:
                lines = httpx.get(f"{server}/metrics").text.splitlines()
                return sum(
                    float(line.split()[-1]) for line in lines if line.startswith(f"{metric}{{") and "webhook" in line
                )

            def notices() -> list[str]:
                return [record.status for record in journal_of(trainer.run) if isinstance(record, AlertNotice)]

            add("a")
            add("nowhere")
            until(lambda: interventions_of(trainer.run))
            until(lambda: sent("alertmanager_notifications_total") > 3)
            add("a", f"--end={datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}")
            until(lambda: notices() == ["firing", "resolved"])
            assert len(interventions_of(trainer.run)) == 1
            assert sent("alertmanager_notifications_failed_total") == 0
