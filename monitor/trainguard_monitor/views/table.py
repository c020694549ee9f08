"""What the monitor shows of itself: frozen snapshots, made on request, safe to read from any thread.

HTTP and metrics know `Monitor` and nothing else of the daemon.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from trainguard_monitor.feed import Feed
from trainguard_monitor.views.course import Layers
from trainguard_monitor.views.latency import SECONDS, STEPS, Distribution
from trainguard_rules import RuleBook, RuleDetail, RuleStatus
from trainguard_wire import Decision, Derived, Goodbye, Input, Intervention, RunDirectory

RunState = Literal["driven", "held", "ended", "failed"]
RUN_STATES: tuple[RunState, ...] = ("driven", "held", "ended", "failed")


@dataclass(frozen=True, kw_only=True)
class RulesView:
    """The rules in force, and whether the last attempt to load rules succeeded."""

    book: RuleBook
    loaded_at: float
    last_reload_successful: bool = True


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run. ``driven``: by this monitor. ``held``: by another. ``ended``: said goodbye. ``failed``: see the log.

    ``signals`` holds the last value of each, NaN and infinities included. Counts cover the whole telemetry, or what
    has been read of it while ``catching_up``.
    ``requests`` are interventions that wait for a person, by id. ``corrupt`` is None while nobody reads the telemetry.
    Of the others see `Course`.
    """

    run: str
    state: RunState
    rules_sha256: str
    catching_up: bool = False
    step: int = 0
    epoch: int | None = None
    generation: int = 0
    last_sample: float | None = None
    last_record: float | None = None
    paused_since: float | None = None
    goodbye: Goodbye | None = None
    layers: Layers | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    nonfinite: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[RuleStatus, ...] = ()
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    actions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    verifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    expectations: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last_decision: Decision | None = None
    requests: tuple[str, ...] = ()
    latency_seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    latency_steps: Distribution = field(default_factory=lambda: Distribution(STEPS))
    received: Mapping[str, int] = field(default_factory=dict)
    corrupt: int | None = None
    late: int = 0
    trainer_lost: int = 0
    write_failures: int = 0


@dataclass(frozen=True, kw_only=True)
class RunDetail:
    """What only who looks at one run wants to know: its rules in detail, what waits for a person, what is under way."""

    directory: RunDirectory
    view: RunView
    rules: tuple[RuleDetail, ...] = ()
    requests: tuple[Intervention, ...] = ()
    in_flight: tuple[Intervention, ...] = ()


TakenHow = Literal["taken", "known", "held", "failed", "behind", "ended", "unwritten"]


class Taken(NamedTuple):
    """What became of an input, and what followed from it at once.

    ``known``: it is no news, nothing changed (of an order, what was decided then follows). ``held``: another monitor
    drives the run. ``failed``: it can't be opened. ``behind``: its past is still to be read, try again. ``ended``: no
    trainer is there. ``unwritten``: it was taken in, but the disk does not take it; try again, or hope that the monitor
    outlives the disk's trouble.
    """

    how: TakenHow
    derived: Sequence[Derived] = ()


class Monitor(Protocol):
    """A monitor as its surfaces see it. Everything may be asked from any thread."""

    feed: Feed

    @property
    def ready(self) -> bool:
        """Whether rules are loaded and runs are being followed."""

    def rules(self) -> RulesView: ...

    def runs(self) -> list[RunView]:
        """Every run there is, by name."""

    def run_detail(self, name: str) -> RunDetail | None:
        """The run of this name; None where there is none."""

    def take_in(self, run: str, record: Input) -> "Future[Taken | None]":
        """Have something from outside taken in, at its place in the telemetry; None where there is no such run."""

    def directory_of(self, name: str) -> RunDirectory | None:
        """Where a run lies. Names are looked up, they never become paths."""
