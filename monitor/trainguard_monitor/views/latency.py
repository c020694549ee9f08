"""How long it takes from the sample that a decision was made on to the action applied, in seconds and in steps.

Both ends are times and steps of the trainer, so the monitor's clock has no part in it, and a monitor that is started
again counts the same.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf

from trainguard_wire import Decision, Outcome

SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, inf)
STEPS = (0.0, 1.0, 2.0, 5.0, 20.0, inf)


@dataclass
class Distribution:
    """Counts of values by upper bound; ``newest`` is the last value seen at a step, and the step, by bucket."""

    bounds: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(init=False)
    newest: list[tuple[float, int] | None] = field(init=False)

    def __post_init__(self) -> None:
        self.counts, self.newest = [0] * len(self.bounds), [None] * len(self.bounds)

    def add(self, value: float, step: int | None = None) -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if step is not None:
            self.newest[bucket] = (value, step)

    def copy(self) -> "Distribution":
        """A snapshot that another thread may read."""
        twin = Distribution(self.bounds, self.total)
        twin.counts, twin.newest = list(self.counts), list(self.newest)
        return twin


class Latencies:
    """Told of decisions and of what came of them."""

    def __init__(self) -> None:
        self.seconds, self.steps = Distribution(SECONDS), Distribution(STEPS)
        self._decided: dict[str, Decision] = {}

    def decided(self, decision: Decision) -> None:
        if decision.verdict == "act" and decision.intervention is not None:
            self._decided[decision.intervention] = decision

    def ended(self, outcome: Outcome) -> None:
        decision = self._decided.get(outcome.intervention)
        if decision is None:
            return
        if outcome.status == "applied":
            self.seconds.add(max(0.0, outcome.time - decision.time), outcome.step)
            self.steps.add(max(0, outcome.step - decision.step), outcome.step)
        if decision.actions and outcome.action == decision.actions[-1].id:
            del self._decided[outcome.intervention]
