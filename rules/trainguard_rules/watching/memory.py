"""What a rule remembers of its own actions, and what follows from it for its cooldown and its limit."""

from collections import deque
from dataclasses import dataclass, field

from trainguard_rules.durations import Moment, elapsed
from trainguard_rules.rulebook import Rule


@dataclass(slots=True)
class Memory:
    """When a rule has acted, as far back as its limit looks; ``lately``: since its incident began."""

    acted: deque[Moment] = field(default_factory=deque)
    lately: bool = False

    def add(self, rule: Rule, now: Moment) -> None:
        self.acted.append(now)
        self.lately = True
        self._forget(rule, now)

    def forget(self, step: int) -> None:
        """What was decided at ``step`` never reached the trainer: it counts for nothing."""
        self.acted = deque(moment for moment in self.acted if moment.step != step)

    def count(self, rule: Rule, now: Moment) -> int:
        self._forget(rule, now)
        return len(self.acted)

    def _forget(self, rule: Rule, now: Moment) -> None:
        if rule.limit is None:
            while len(self.acted) > 1:
                self.acted.popleft()
        elif rule.limit.per is not None:
            while len(self.acted) > 1 and rule.limit.per.passed(self.acted[0], now):
                self.acted.popleft()


def cooldown_left(rule: Rule, memory: Memory, now: Moment) -> float:
    """How much of the cooldown is left, in its unit; all of it where the epoch is not known."""
    if not memory.acted:
        return 0.0
    gone = elapsed(memory.acted[-1], now, rule.cooldown.unit)
    return float(rule.cooldown.amount) if gone != gone else max(0.0, rule.cooldown.amount - gone)


def limit_left(rule: Rule, memory: Memory, now: Moment | None) -> int | None:
    """How often the rule may still act; None where nothing limits it."""
    limit = rule.limit
    if limit is None or now is None:
        return limit and limit.times
    spent = sum(limit.per is None or not limit.per.passed(moment, now) for moment in memory.acted)
    return max(0, limit.times - spent)
