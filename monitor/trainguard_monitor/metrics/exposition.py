"""Prometheus's two text formats, as `prometheus_client` writes them, but without an object for each series.

A thousand runs have more than a hundred thousand series, and a scrape should not take seconds. The rows that each run
has are written as text at once; everything else goes through the library.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from trainguard_monitor.metrics.collector import Histogram, MonitorCollector, Row, cumulated
from trainguard_monitor.views.table import RunView

_FEW = {0: "0.0", 1: "1.0"}  # nearly all that are counts or states


_EOF = "# EOF\n"


def plain_text(collector: MonitorCollector, *others: Collector) -> bytes:
    """Everything the collectors have, as ``text/plain``."""
    return "".join(_written(collector, others, exemplars=False)).encode()


def open_metrics(collector: MonitorCollector, *others: Collector) -> bytes:
    """The same as OpenMetrics: with exemplars, and with other names at the head of counters."""
    return ("".join(_written(collector, others, exemplars=True)) + _EOF).encode()


def _written(collector: MonitorCollector, others: Iterable[Collector], *, exemplars: bool) -> Iterator[str]:
    for part in collector.parts():
        if isinstance(part, Metric):
            yield _by_the_library(_Only(part), exemplars)
        elif isinstance(part.row, Row):
            yield from _row(part.row, part.runs, exemplars)
        else:
            yield from _histogram(part.row, part.runs, exemplars)
    for other in others:
        yield _by_the_library(other, exemplars)


def _by_the_library(collector: Collector, exemplars: bool) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    if exemplars:
        text = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # as the library has it
        return str(text.decode()).removesuffix(_EOF)
    return generate_latest(registry).decode()


def _row(row: Row, runs: Iterable[RunView], exemplars: bool) -> Iterator[str]:
    counts = row.kind is CounterMetricFamily
    name = f"trainguard_{row.name}"
    yield _head(name.removesuffix("_total") if exemplars else name, row.text, "counter" if counts else "gauge")
    labels = ("run", *row.labels)
    places = sorted(range(len(labels)), key=labels.__getitem__)
    marks = ",".join(f'{labels[i]}="%s"' for i in places)
    pattern = f"{name}{{{marks}}} %s\n"
    # The value comes last, so that there are always several to get.
    in_order, escaped = itemgetter(*places, len(labels)), _Escaped()
    for run in runs:
        own = escaped[run.run]
        yield "".join(
            [
                pattern % in_order((own, *[escaped[label] for label in values], _number(value)))
                for values, value in row.samples(run)
            ]
        )


def _histogram(row: Histogram, runs: Iterable[RunView], exemplars: bool) -> Iterator[str]:
    name, escaped = f"trainguard_{row.name}", _Escaped()
    yield _head(name, row.text, "histogram")
    for run in runs:
        own, found = escaped[run.run], row.of(run)
        below = 0
        for (bound, below), newest in zip(cumulated(found), found.newest, strict=True):
            example = f' # {{step="{newest[1]}"}} {_number(newest[0])}' if exemplars and newest else ""
            yield f'{name}_bucket{{le="{bound}",run="{own}"}} {_number(below)}{example}\n'
        yield f'{name}_count{{run="{own}"}} {_number(below)}\n'
        yield f'{name}_sum{{run="{own}"}} {_number(found.total)}\n'


def _number(value: float) -> str:
    if type(value) is not float and value in _FEW:
        return _FEW[int(value)]
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # as the library has it


def _head(name: str, text: str, kind: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


class _Escaped(dict[str, str]):
    """Label values as they are written."""

    def __missing__(self, value: str) -> str:
        self[value] = escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        return escaped


class _Only(Collector):
    """A collector of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
