"""Which checkpoints can be trusted, and what the rules' windows were when each was taken.

A saved checkpoint is a *candidate*. It becomes *good* once the run has been healthy for ``good_after`` steps on
end since; one that was saved during an incident never does. Healthy means that no rule which judges health is
pending or firing.
"""

from typing import Any

from trainguard_wire.control import Promotion
from trainguard_wire.journal import Promoted

KEPT = 8


def promoted(promotion: Promotion, time: float) -> Promoted:
    """For the journal."""
    return Promoted(step=promotion.step, generation=promotion.generation, time=time, checkpoint=promotion.checkpoint)


class CheckpointBook:
    """Candidates, promotions and window snapshots of one trainer process."""

    def __init__(self, good_after: int) -> None:
        self.good_after = good_after
        self.candidates: list[int] = []
        self.promotions: list[Promotion] = []
        self._snapshots: dict[int, Any] = {}
        self._ill_at: int | None = None

    def saved(self, step: int, snapshot: Any, *, healthy: bool) -> None:
        """The state after ``step`` can be restored."""
        self._snapshots[step] = snapshot
        while len(self._snapshots) > KEPT:
            del self._snapshots[self._least_useful()]
        if healthy:
            self.candidates.append(step)

    def judge(self, step: int, generation: int, *, healthy: bool) -> list[Promotion]:
        """The candidates that a healthy or ill sample at ``step`` makes good."""
        if not healthy:
            self._ill_at = step
            return []
        since = -1 if self._ill_at is None else self._ill_at
        good = [c for c in self.candidates if step - max(c, since) >= self.good_after]
        for checkpoint in good:
            self.candidates.remove(checkpoint)
        promotions = [Promotion(checkpoint=c, step=step, generation=generation) for c in good]
        self.promotions = [*self.promotions, *promotions][-KEPT:]
        return promotions

    def restored(self, step: int | None) -> Any | None:
        """The snapshot taken with a checkpoint that has been restored; nothing that was saved later counts any more."""
        if step is None:
            self.candidates.clear()
            return None
        self.candidates = [c for c in self.candidates if c <= step]
        return self._snapshots.get(step)

    def clear(self) -> None:
        self.candidates, self.promotions, self._ill_at = [], [], None
        self._snapshots.clear()

    def _least_useful(self) -> int:
        newest_good = self.promotions[-1].checkpoint if self.promotions else None
        return next(step for step in self._snapshots if step != newest_good)
