"""A value as it was when an incident began."""

from trainguard_rules.stats.base import Snapshot, Tracker


class AtOnset(Tracker):
    """What was captured when the rule left inactive; outside of an incident, the current sample."""

    def __init__(self) -> None:
        self._captured: float | None = None

    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        return x if self._captured is None else self._captured

    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        """Learns nothing from samples: see `capture`."""

    def capture(self, x: float) -> None:
        """An incident begins, at this value; NaN is kept too."""
        self._captured = x

    def snapshot(self) -> Snapshot:
        return {"captured": self._captured}

    def restore(self, snapshot: Snapshot) -> None:
        self._captured = snapshot["captured"]

    def reset(self) -> None:
        self._captured = None
