"""What the monitor shows of itself: frozen snapshots, made on request, safe to read from any thread.

HTTP and metrics know these and nothing else of the daemon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from trainguard_rules import RuleStatus

RunState = Literal["driven", "held", "ended", "failed"]
RUN_STATES: tuple[RunState, ...] = ("driven", "held", "ended", "failed")


@dataclass(frozen=True, kw_only=True)
class RulesView:
    """The rules in force, and whether the last attempt to load rules succeeded."""

    sha256: str
    sources: tuple[str, ...]
    loaded_at: float
    last_reload_successful: bool = True


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run. ``driven``: by this monitor. ``held``: by another. ``ended``: said goodbye. ``failed``: see the log.

    ``signals`` holds the last value of each, NaN and infinities included. Counts cover the whole telemetry.
    """

    run: str
    state: RunState
    rules_sha256: str
    step: int = 0
    generation: int = 0
    last_sample: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    nonfinite: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[RuleStatus, ...] = ()
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    actions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    verifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    expectations: Mapping[tuple[str, str], int] = field(default_factory=dict)
    received: Mapping[str, int] = field(default_factory=dict)
    corrupt: int = 0
    late: int = 0
    trainer_lost: int = 0
    write_failures: int = 0


class Monitor(Protocol):
    """A monitor as its surfaces see it."""

    @property
    def ready(self) -> bool:
        """Whether rules are loaded and runs are being followed."""

    def rules(self) -> RulesView: ...

    def runs(self) -> list[RunView]:
        """Every run there is, by name."""
