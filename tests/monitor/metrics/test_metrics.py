"""What Prometheus reads, byte for byte, and that its own tools find nothing to object to."""

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.monitor.helpers import ScriptedTrainer, Still, interventions_of
from tests.support.tools import need
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.metrics.collector import build_registry
from trainguard_monitor.views.table import RunView
from trainguard_rules import RuleBook

GOLDEN = Path(__file__).parents[1] / "data" / "metrics.txt"


@pytest.fixture
def driver(trainer: ScriptedTrainer, book: RuleBook) -> Iterator[Driver]:
    """A run with a bit of everything."""
    driver = Driver(trainer.run, book)
    trainer.sample(loss=1.0, grad_norm=1.0)
    trainer.writer.append_lines(b"{nonsense}\n")
    trainer.sample(loss=math.nan, grad_norm=50.0, layers={"0.weight": math.nan, "0.bias": 3.0})
    driver.drain(0.0)
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.heartbeat(lost=3)
    driver.drain(0.0)
    yield driver
    driver.close()


def _text(*runs: RunView) -> str:
    return generate_latest(build_registry(Still(*runs))).decode()


def test_golden_exposition(driver: Driver) -> None:
    """The series of one run."""
    text = _text(driver.view())
    assert text[text.index("# HELP trainguard_run_step") :] == GOLDEN.read_text()


def test_about_the_monitor_itself(driver: Driver) -> None:
    """Build, configuration, and runs by state."""
    view = driver.view()
    samples = {
        (sample.name, sample.labels.get("state", "")): sample
        for family in text_string_to_metric_families(_text(view, RunView(run="b", state="held", rules_sha256="f00")))
        for sample in family.samples
    }
    assert samples["trainguard_config_last_reload_successful", ""].value == 1
    assert samples["trainguard_config_last_reload_success_timestamp_seconds", ""].value == 12.5
    assert samples["trainguard_runs", "driven"].value == samples["trainguard_runs", "held"].value == 1
    assert samples["trainguard_runs", "ended"].value == samples["trainguard_runs", "failed"].value == 0
    assert set(samples["trainguard_build_info", ""].labels) == {"version", "python"}


def test_counters_survive_a_restart(driver: Driver, trainer: ScriptedTrainer, book: RuleBook) -> None:
    """A monitor that is started again counts the same telemetry to the same numbers."""
    before = _text(driver.view())
    driver.close()
    again = Driver(trainer.run, book)
    again.drain(0.0)
    assert _text(again.view()) == before
    again.close()


def test_no_counter_begins_anew_where_a_run_is_lost(driver: Driver) -> None:
    """Corrupt lines are counted by who reads them: meanwhile there is a gap, which `increase()` bridges."""
    assert 'trainguard_records_corrupt_total{run="a"} 1.0' in _text(driver.view())
    driver.fail()
    assert "trainguard_records_corrupt_total{" not in _text(driver.view())
    driver.drain(0.0)
    assert 'trainguard_records_corrupt_total{run="a"} 1.0' in _text(driver.view())


def test_lost_records_add_up_over_trainer_processes(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """Each trainer process counts from its hello on; the total is over all of them."""
    driver = Driver(trainer.run, book)
    for lost in (2, 5):
        trainer.heartbeat(lost=lost)
    trainer.hello()
    trainer.goodbye(lost=1)
    driver.drain(0.0)
    assert driver.view().trainer_lost == 6
    driver.close()


def test_a_run_that_waits_and_how_it_ended(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """No outcome while it goes on."""
    driver = Driver(trainer.run, book)
    trainer.samples(1)
    trainer.ack("pause")
    driver.drain(0.0)
    waiting = _text(driver.view())
    assert 'trainguard_run_paused{run="a"} 1.0' in waiting
    assert "trainguard_run_outcome{" not in waiting
    trainer.goodbye(error="RuntimeError: boom")
    driver.drain(0.0)
    over = _text(driver.view())
    assert 'trainguard_run_paused{run="a"} 0.0' in over
    assert 'trainguard_run_outcome{outcome="failed",run="a"} 1.0' in over
    driver.close()


def test_a_run_of_another_monitor_has_no_series(book: RuleBook) -> None:
    """A held run is counted by state, and its values are left to the monitor that knows them."""
    assert "run_step{" not in _text(RunView(run="b", state="held", rules_sha256=book.sha256))


def test_a_restart_resets_no_counter(trainer: ScriptedTrainer, book: RuleBook) -> None:
    """While a run's past is read again it has no series: fewer would be taken for a counter that began anew."""
    trainer.samples(20)
    trainer.sample(loss=1.0, grad_norm=50.0)
    before = Driver(trainer.run, book)
    before.drain(0.0)
    counted = [line for line in _text(before.view()).splitlines() if "_total{" in line]
    assert counted
    before.close()
    after = Driver(trainer.run, book)
    for _ in range(2):
        behind = _text(after.view())
        assert "_total{" not in behind
        assert 'trainguard_run_state{run="a",state="driven"} 1.0' in behind
        assert after.poll(0.0) or not after.is_catching_up
    assert [line for line in _text(after.view()).splitlines() if "_total{" in line] == counted
    after.close()


def test_promtool_has_no_objections(driver: Driver) -> None:
    """Names, units and types keep to Prometheus's conventions."""
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input=_text(driver.view()), text=True, capture_output=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_latency_is_counted_from_decision_to_ack(driver: Driver) -> None:
    """In the trainer's own seconds and steps, with an exemplar that names the step where it is asked for."""
    view = driver.view()
    assert sum(view.latency_seconds.counts) == sum(view.latency_steps.counts) == 1
    assert openmetrics_of(Still(view)).count('# {step="') == 2


def openmetrics_of(monitor: Still) -> str:
    return openmetrics.generate_latest(build_registry(monitor)).decode()
