"""A cumulative sum: small excesses that last add up, single ones wear off."""

import sys

from trainguard_rules.stats.base import Snapshot, Tracker

INF = float("inf")
LARGEST = sys.float_info.max


class Cusum(Tracker):
    """Page's one-sided sum S = max(0, S + x - slack), from 0, the current sample included.

    After a sample on which it reached ``restart`` it begins anew from 0.

    Feed it a deviation from the normal level in units of its spread, e.g. a z-score. A lasting shift of d
    then raises S by d - slack at each sample; half of the shift to be found is the usual slack.

    E. Page: Continuous inspection schemes, Biometrika 41 (1954).
    """

    def __init__(self, slack: float, restart: float = INF) -> None:
        self.slack = slack
        self.restart = restart
        self._sum = 0.0

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        total = self._sum + x - self.slack
        return 0.0 if total < 0 else total

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        total = self._sum + x - self.slack
        total = total if total < LARGEST else LARGEST
        self._sum = 0.0 if total < 0 or total >= self.restart else total

    def snapshot(self) -> Snapshot:
        return {"sum": self._sum}

    def restore(self, snapshot: Snapshot) -> None:
        self._sum = snapshot["sum"]

    def reset(self) -> None:
        self._sum = 0.0
