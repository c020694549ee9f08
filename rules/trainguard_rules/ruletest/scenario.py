"""What a test file says, checked and with nothing of YAML left in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from trainguard_rules.rulebook import RuleBook
from trainguard_wire.telemetry import KnobInfo

Subject = Literal["state", "verdict", "actions", "outcomes", "interventions", "reached"]
END = -1


class ActionWanted(NamedTuple):
    """An action, and those of its parameters that matter."""

    kind: str
    params: Mapping[str, Any]

    def __str__(self) -> str:
        return describe(self.kind, self.params)


class Check(NamedTuple):
    """One thing expected after ``step`` (`END`: after the run), where in the test file it stands.

    ``wanted`` is a word for a state, verdict or expectation, the `ActionWanted` in order, words for outcomes
    (one for all, or one for each), a number of interventions.
    """

    line: int
    column: int
    step: int
    subject: Subject
    rule: str
    wanted: Any


class Alert(NamedTuple):
    """An alert with these ``labels`` fires after ``step``, or is over. With equal labels it is the same alert."""

    step: int
    labels: Mapping[str, str]
    firing: bool


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One test: what the trainer measures, how it behaves, and what is expected of the rules.

    ``acks`` and ``approvals`` are None for never; ``actions_offered`` is None for all there are.
    """

    name: str
    series: Mapping[str, Sequence[float | None]]
    checks: tuple[Check, ...]
    interval: int = 1
    steps_per_epoch: int | None = None
    checkpoints: frozenset[int] = frozenset((0,))
    acks: int | None = 1
    approvals: int | None = None
    alerts: tuple[Alert, ...] = ()
    actions_offered: tuple[str, ...] | None = None
    knobs: Mapping[str, KnobInfo] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        return max(map(len, self.series.values()))


class Suite(NamedTuple):
    """A test file: its tests, and the rules they are about."""

    file: str
    book: RuleBook
    scenarios: tuple[Scenario, ...]


def describe(kind: str, params: Mapping[str, Any]) -> str:
    """``scale_lr(factor=0.5, min=1e-07)``."""
    shown = ", ".join(f"{name}={_brief(value)}" for name, value in params.items() if value is not None)
    return f"{kind}({shown})" if shown else kind


def _brief(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
