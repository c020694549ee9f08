"""Every query of every panel gives data, on a real Prometheus that holds a recorded run."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grafana.boards import filled_in, queries
from tests.grafana.recorded import END, STEPS, record
from tests.monitor.helpers import RULES
from tests.support.daemons import prometheus
from tests.support.tools import need
from trainguard_rules import load_rules

FOLDER = Path(__file__).parents[2] / "grafana" / "prometheus"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need("prometheus")
    folder = tmp_path_factory.mktemp("recorded")
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    blocks = record(folder, load_rules([str(rules)]))
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 15s}\n")
    with prometheus(config, blocks) as url:
        yield url


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.board}-{query.panel}-{query.expr[:30]}")
def test_every_query_gives_data(server: str, query):
    parameters = {"query": filled_in(query.expr), "start": END - STEPS + 60, "end": END, "step": 15}
    with urllib.request.urlopen(f"{server}/api/v1/query_range?{urllib.parse.urlencode(parameters)}") as answer:
        found = json.load(answer)["data"]["result"]
    assert found, filled_in(query.expr)


def test_a_run_whose_rules_have_no_actions_is_among_the_worst(tmp_path: Path):
    """There is no series of its decisions. And what a run has of each kind is summed up."""
    [expr] = [filled_in(query.expr) for query in queries() if query.panel == "Worst first"]
    series = {
        'trainguard_rule_state{job="trainguard", run="warned", rule="A", state="firing"}': "1x60",
        'trainguard_rule_state{job="trainguard", run="warned", rule="B", state="firing"}': "1x60",
        'trainguard_rule_state{job="trainguard", run="warned", rule="B", state="pending"}': "1x60",
        'trainguard_rule_state{job="trainguard", run="acted", rule="A", state="pending"}': "1x60",
        'trainguard_decisions_total{job="trainguard", run="acted", rule="A", verdict="act"}': "0+1x60",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": "60m",
                "exp_samples": [{"labels": '{run="acted"}', "value": 63}, {"labels": '{run="warned"}', "value": 23}],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    promtool("test", "rules", str(path))


def promtool(*arguments: str) -> None:
    done = subprocess.run([need("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")


def test_the_alerts_do_what_they_say():
    promtool("test", "rules", "alerts_test.yml")


def alerts() -> set[str]:
    return {line.split()[-1] for line in (FOLDER / "alerts.yml").read_text().splitlines() if "- alert:" in line}


def test_every_alert_is_tested():
    tested = (FOLDER / "alerts_test.yml").read_text()
    assert {alert for alert in alerts() if f"alertname: {alert}\n        exp_alerts" not in tested} == set()


def test_every_alert_is_documented():
    page = (FOLDER.parents[1] / "docs" / "operating.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page.partition("## Alerts\n")[2].partition("\n## ")[0], re.M)) == alerts()
