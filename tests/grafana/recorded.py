"""A recorded run as Prometheus would have scraped it: real telemetry through the real monitor, every 15 seconds."""

import math
import subprocess
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitor.helpers import START, ScriptedTrainer, interventions_of
from tests.support.receiver import receiving
from tests.support.tools import need
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.metrics.collector import build_registry
from trainguard_monitor.notifier.endpoint import Endpoint
from trainguard_monitor.notifier.metrics import NotifierCollector
from trainguard_monitor.notifier.notifier import Notifier
from trainguard_monitor.views.table import RulesView, RunView
from trainguard_rules import RuleBook

STEPS, SCRAPE_EVERY = 600, 15
END = START + STEPS
LABELS = {"job": "trainguard", "instance": "monitor:9464"}


class Watching:
    """A monitor of one run."""

    ready = True

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def rules(self) -> RulesView:
        return RulesView(book=self._driver.book, loaded_at=START)

    def runs(self) -> list[RunView]:
        return [self._driver.view()]


def record(folder: Path, book: RuleBook) -> Path:
    """Blocks for a Prometheus, of a run with two incidents and a NaN; a sample a second."""
    with receiving() as alertmanager:
        notifier = Notifier([Endpoint(alertmanager.url)], "http://monitor:9464")
        notifier.start()
        lines = _scraped(folder, book, notifier)
        notifier.stop()
    blocks = folder / "data"
    subprocess.run([need("promtool"), "tsdb", "create-blocks-from", "openmetrics", lines, blocks], check=True)
    return blocks


def _scraped(folder: Path, book: RuleBook, notifier: Notifier) -> Path:
    trainer = ScriptedTrainer(folder / "runs" / "a")
    trainer.hello()
    driver = Driver(trainer.run, book, sink=notifier)
    registry, scraped = build_registry(Watching(driver)), _Scraped()
    registry.register(NotifierCollector(notifier))
    answered = 0
    for step in range(1, STEPS + 1):
        trainer.sample(**_values(step))
        driver.drain(0.0)
        for intervention in interventions_of(trainer.run)[answered:]:
            answered += 1
            trainer.apply(intervention)
        if step % SCRAPE_EVERY == 0:
            driver.drain(0.0)
            scraped.add(registry, START + step)
    driver.close()
    trainer.close()
    lines = folder / "scraped.txt"
    lines.write_text(scraped.text())
    return lines


def _values(step: int) -> dict[str, float]:
    exploded = 200 <= step < 206 or 400 <= step < 403
    return {
        "loss": math.nan if step == 300 else 2.0 / (1 + step / 100),
        "grad_norm": 50.0 if exploded else 1.0 + 0.1 * math.sin(step),
        "lr": 0.1,
        "lr_scale": 1.0,
        "confidence": 0.5 + step / 2000,
        "activation_sparsity": 0.4,
    }


class _Scraped:
    """Samples by family, with the times they were seen at."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[Metric, list[str]]] = {}

    def add(self, registry: CollectorRegistry, time: float) -> None:
        process = CollectorRegistry()
        ProcessCollector(registry=process)
        text = generate_latest(registry).decode() + generate_latest(process).decode() + "# TYPE up gauge\nup 1\n"
        for family in text_string_to_metric_families(text):
            _, lines = self._families.setdefault(family.name, (family, []))
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in {**sample.labels, **LABELS}.items())
                lines.append(f"{sample.name}{{{labels}}} {sample.value} {time}")

    def text(self) -> str:
        families = self._families.values()
        blocks = [f"# TYPE {family.name} {family.type}\n" + "\n".join(lines) for family, lines in families if lines]
        return "\n".join(blocks) + "\n# EOF\n"
