"""What Prometheus scrapes: made from the monitor's view at each scrape, nothing is kept in between.

The counters are counts over the telemetry (see `tally`), so they survive a restart of the monitor. Until its past is
read a run has no series: a gap is no reset. A run that is removed takes its series with it. Labels come from closed
sets and from rule and signal names, never from steps or ids.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple, get_args

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from trainguard_monitor.views.latency import Distribution
from trainguard_monitor.views.table import RUN_STATES, Monitor, RulesView, RunView
from trainguard_rules import RuleStatus
from trainguard_wire import __version__
from trainguard_wire.journal import AlertState

_Labelled = tuple[tuple[str, ...], float]
_Samples = Callable[[RunView], Iterable[_Labelled]]


def build_registry(monitor: Monitor) -> CollectorRegistry:
    """A registry of our metrics and no others."""
    registry = CollectorRegistry()
    registry.register(MonitorCollector(monitor))
    return registry


class MonitorCollector(Collector):
    """Turns the monitor's view into metric families."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def describe(self) -> Iterable[Metric]:
        return ()  # or registering would collect

    def collect(self) -> Iterator[Metric]:
        for part in self.parts():
            yield part if isinstance(part, Metric) else part.row.family(part.runs)

    def parts(self) -> "Iterator[Metric | Rows]":
        """All there is, the rows of runs not yet made into samples."""
        runs = self._monitor.runs()
        yield from _of_the_monitor(self._monitor.rules(), runs)
        yield Rows(_RUN_STATE, runs)
        ours = [run for run in runs if run.state != "held" and not run.catching_up]
        for row in (*_ROWS, *_HISTOGRAMS):
            yield Rows(row, ours)


def _of_the_monitor(rules: RulesView, runs: list[RunView]) -> Iterator[Metric]:
    build = InfoMetricFamily("trainguard_build", "Version of trainguard and of Python.")
    build.add_metric([], {"version": __version__, "python": platform.python_version()})
    yield build
    yield GaugeMetricFamily(
        "trainguard_config_last_reload_successful",
        "Whether the last attempt to load the rules succeeded.",
        value=rules.last_reload_successful,
    )
    yield GaugeMetricFamily(
        "trainguard_config_last_reload_success_timestamp_seconds",
        "When the rules in force were loaded, in Unix seconds.",
        value=rules.loaded_at,
    )
    states = GaugeMetricFamily(
        "trainguard_runs",
        "Runs by state: driven by this monitor, held by another, ended in order, or failed to be followed.",
        labels=["state"],
    )
    for state in RUN_STATES:
        states.add_metric([state], sum(run.state == state for run in runs))
    yield states
    info = InfoMetricFamily("trainguard_run", "The rules a run is judged by.", labels=["run"])
    for run in runs:
        info.add_metric([run.run], {"rules_sha256": run.rules_sha256})
    yield info


class Row(NamedTuple):
    """A metric that each run has: how to make it, and where in the view its samples are."""

    kind: Callable[..., CounterMetricFamily | GaugeMetricFamily]
    name: str
    text: str
    samples: _Samples
    labels: tuple[str, ...] = ()

    def family(self, runs: list[RunView]) -> Metric:
        family = self.kind(f"trainguard_{self.name}", self.text, labels=("run", *self.labels))
        for run in runs:
            for values, value in self.samples(run):
                family.add_metric((run.run, *values), value)
        return family


class Histogram(NamedTuple):
    """A distribution that each run has, with the last value of each bucket as an exemplar, which names its step."""

    name: str
    text: str
    of: Callable[[RunView], Distribution]

    def family(self, runs: list[RunView]) -> Metric:
        family = HistogramMetricFamily(f"trainguard_{self.name}", self.text, labels=("run",))
        for run in runs:
            found = self.of(run)
            buckets: list[Any] = []
            for (bound, below), newest in zip(cumulated(found), found.newest, strict=True):
                exemplar = Exemplar({"step": str(newest[1])}, newest[0]) if newest else None
                buckets.append((bound, float(below), exemplar))
            family.add_metric((run.run,), buckets, found.total)
        return family


class Rows(NamedTuple):
    """A metric of many runs."""

    row: Row | Histogram
    runs: list[RunView]


def cumulated(found: Distribution) -> Iterator[tuple[str, int]]:
    """Upper bounds, as they are written, and how many are no greater."""
    below = 0
    for bound, count in zip(found.bounds, found.counts, strict=True):
        below += count
        yield "+Inf" if bound == inf else str(bound), below


def _one(value: Callable[[RunView], float | None]) -> _Samples:
    def samples(run: RunView) -> Iterable[_Labelled]:
        found = value(run)
        return [] if found is None else [((), found)]

    return samples


def _by_key(mapping: Callable[[RunView], Mapping[str, float]]) -> _Samples:
    return lambda run: (((key,), value) for key, value in sorted(mapping(run).items()))


def _by_rule(value: Callable[[RuleStatus], float]) -> _Samples:
    return lambda run: (((rule.name,), value(rule)) for rule in run.rules)


def _rule_states(run: RunView) -> Iterable[_Labelled]:
    return (((rule.name, state), rule.state == state) for rule in run.rules for state in get_args(AlertState))


_HISTOGRAMS = (
    Histogram(
        "action_latency_seconds",
        "From the sample decided on to the action applied.",
        attrgetter("latency_seconds"),
    ),
    Histogram(
        "action_latency_steps",
        "Steps from the decision to the action applied.",
        attrgetter("latency_steps"),
    ),
)
_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily
_RUN_STATE = Row(
    _GAUGE,
    "run_state",
    "1 for the state a run is in, 0 for the others.",
    lambda run: (((state,), run.state == state) for state in RUN_STATES),
    ("state",),
)
_ROWS = (
    Row(_GAUGE, "run_step", "Optimizer step of the last record.", _one(lambda run: run.step)),
    Row(
        _GAUGE,
        "run_generation",
        "How many times the run was rolled back or restarted.",
        _one(lambda run: run.generation),
    ),
    Row(
        _GAUGE,
        "run_last_sample_timestamp_seconds",
        "When the last sample was measured, in Unix seconds of the trainer's clock.",
        _one(lambda run: run.last_sample),
    ),
    Row(
        _GAUGE,
        "run_last_record_timestamp_seconds",
        "When the trainer last wrote anything, a heartbeat at least, in Unix seconds of its clock.",
        _one(lambda run: run.last_record),
    ),
    Row(
        _GAUGE,
        "run_paused",
        "Whether the trainer waits, as it was told to.",
        _one(lambda run: run.paused_since is not None),
    ),
    Row(
        _GAUGE,
        "run_outcome",
        "1 for how a run ended: finished, stopped, or failed with an error. Nothing while it goes on.",
        lambda run: [] if run.goodbye is None else [((run.goodbye.outcome,), 1)],
        ("outcome",),
    ),
    Row(
        _GAUGE,
        "run_signal",
        "Last value of a signal, NaN and infinities included.",
        _by_key(lambda run: run.signals),
        ("signal",),
    ),
    Row(
        _COUNTER,
        "run_nonfinite_values_total",
        "Values of a signal that were NaN or infinite.",
        _by_key(lambda run: run.nonfinite),
        ("signal",),
    ),
    Row(
        _GAUGE,
        "run_layer_grad_norm",
        "Gradient norm before clipping, of the layers where it was largest when last measured.",
        _by_key(lambda run: run.layers.grad_norms if run.layers else {}),
        ("layer",),
    ),
    Row(_GAUGE, "rule_state", "1 for the state a rule is in, 0 for the others.", _rule_states, ("rule", "state")),
    Row(
        _COUNTER,
        "rule_evaluations_total",
        "Evaluations of a rule.",
        _by_rule(lambda rule: rule.evaluations),
        ("rule",),
    ),
    Row(
        _COUNTER,
        "rule_unknown_total",
        "Evaluations of a rule that came to no result, for want of data or because a value was not finite.",
        _by_rule(lambda rule: rule.unknown),
        ("rule",),
    ),
    Row(
        _COUNTER,
        "decisions_total",
        "Answers of policy to a firing rule, the decision not to act included.",
        lambda run: sorted(run.decisions.items()),
        ("rule", "verdict"),
    ),
    Row(
        _COUNTER,
        "actions_total",
        "Actions by what became of them.",
        lambda run: sorted(run.actions.items()),
        ("kind", "status"),
    ),
    Row(
        _COUNTER,
        "verifications_total",
        "Interventions whose rule verified them, by whether they helped.",
        lambda run: sorted(run.verifications.items()),
        ("rule", "helped"),
    ),
    Row(
        _COUNTER,
        "expectations_total",
        "Expectations that were reported, by whether they were met.",
        lambda run: sorted(run.expectations.items()),
        ("rule", "met"),
    ),
    Row(
        _COUNTER,
        "records_received_total",
        "Telemetry records read, by type.",
        _by_key(lambda run: run.received),
        ("type",),
    ),
    Row(
        _COUNTER,
        "records_corrupt_total",
        "Telemetry lines that were torn or no record.",
        _one(lambda run: run.corrupt),
    ),
    Row(
        _COUNTER,
        "records_late_total",
        "Samples of an older generation, which are not judged.",
        _one(lambda run: run.late),
    ),
    Row(
        _COUNTER,
        "trainer_records_lost_total",
        "Telemetry records the trainer could not write.",
        _one(lambda run: run.trainer_lost),
    ),
    Row(
        _COUNTER,
        "monitor_write_failures_total",
        "Attempts to write journal or control that failed.",
        _one(lambda run: run.write_failures),
    ),
)
