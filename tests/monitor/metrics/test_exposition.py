"""The quick way to the text formats and the library's: the same bytes."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from tests.monitor.helpers import Still
from trainguard_monitor.metrics.collector import MonitorCollector, build_registry
from trainguard_monitor.metrics.exposition import open_metrics, plain_text
from trainguard_monitor.views.latency import SECONDS, STEPS, Distribution
from trainguard_monitor.views.table import RUN_STATES, RunView
from trainguard_rules import RuleStatus
from trainguard_wire import Goodbye

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ['a"b', "a\\b", "a\nb", "\\n", "run"]
)
NUMBERS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1e7, 123456789.5, 1e300]) | st.integers(-(10**12), 10**12)
COUNTS = st.integers(0, 10**9)


def distributions(bounds: tuple[float, ...]) -> st.SearchStrategy[Distribution]:
    def build(values: list[float]) -> Distribution:
        found = Distribution(bounds)
        for step, value in enumerate(values):
            found.add(value, step)
        return found

    return st.builds(build, st.lists(st.floats(0, 100), max_size=5))


STATUSES = st.builds(
    RuleStatus, NAMES, NAMES, st.sampled_from(["inactive", "pending", "firing"]), NUMBERS, COUNTS, COUNTS, COUNTS
)
PAIRS = st.dictionaries(st.tuples(NAMES, NAMES), COUNTS, max_size=3)
VIEWS = st.builds(
    RunView,
    run=NAMES,
    state=st.sampled_from(RUN_STATES),
    rules_sha256=NAMES,
    step=COUNTS,
    last_sample=st.none() | NUMBERS,
    last_record=st.none() | NUMBERS,
    paused_since=st.none() | NUMBERS,
    goodbye=st.none() | st.sampled_from([Goodbye(step=1, generation=0, time=2.0, outcome="failed", error="x")]),
    signals=st.dictionaries(NAMES, NUMBERS, max_size=3),
    nonfinite=st.dictionaries(NAMES, COUNTS, max_size=3),
    rules=st.lists(STATUSES, max_size=3).map(tuple),
    decisions=PAIRS,
    actions=PAIRS,
    verifications=PAIRS,
    expectations=PAIRS,
    received=st.dictionaries(NAMES, COUNTS, max_size=3),
    latency_seconds=distributions(SECONDS),
    latency_steps=distributions(STEPS),
)


def lines(text: bytes) -> list[str]:
    """Without what the process costs, which is something else each time one looks."""
    return [
        line for line in text.decode().split("\n") if "trainguard_process" not in line and "cpu_seconds" not in line
    ]


@given(st.lists(VIEWS, max_size=4))
def test_the_same_bytes(runs: list[RunView]) -> None:
    """Whatever the runs are called and whatever they measure."""
    monitor = Still(*runs)
    assert lines(plain_text(MonitorCollector(monitor))) == lines(generate_latest(build_registry(monitor)))
    assert lines(open_metrics(MonitorCollector(monitor))) == lines(openmetrics.generate_latest(build_registry(monitor)))


def test_there_is_something_to_compare() -> None:
    """A run has many lines."""
    monitor = Still(RunView(run="a", state="driven", rules_sha256="0"))
    text = lines(plain_text(MonitorCollector(monitor)))
    assert sum('run="a"' in line for line in text) > 25
