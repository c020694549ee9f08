"""Which checkpoints can be trusted, and what the rules' windows were when each was taken.

A saved checkpoint is a *candidate*. It becomes *good* once the run has been healthy for ``good_after`` steps on
end since; one that was saved during an incident never does. Healthy means that no rule which judges health is
pending or firing.

The windows are kept for every candidate and for the newest good checkpoint, and for a few others. A trainer that
saves so often that there would be too many candidates has some of them passed over, evenly.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from trainguard_rules.durations import Moment
from trainguard_wire.control import Promotion
from trainguard_wire.journal import Derived, Promoted

KEPT = 8
MOST_CANDIDATES = 64


def promoted(promotion: Promotion, time: float) -> Promoted:
    """For the journal."""
    return Promoted(step=promotion.step, generation=promotion.generation, time=time, checkpoint=promotion.checkpoint)


class Snapshot(NamedTuple):
    """The rules' windows, and the moment they are of."""

    taken: Moment
    windows: Any


class CheckpointBook:
    """Candidates, promotions and window snapshots of one trainer process."""

    def __init__(self, good_after: int) -> None:
        self.good_after = good_after
        self.candidates: list[int] = []
        self.promotions: list[Promotion] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._ill_at: int | None = None

    def saved(self, snapshot: Snapshot, *, healthy: bool) -> None:
        """The state after the step that the ``snapshot`` was taken at can be restored."""
        step = snapshot.taken.step
        self._snapshots.pop(step, None)
        self._snapshots[step] = snapshot
        if healthy:
            self.candidates = [*(c for c in self.candidates if c != step), step]
            if len(self.candidates) > MOST_CANDIDATES:
                self._pass_one_over()
        self._tidy()

    def judge(self, step: int, generation: int, *, healthy: bool, now: bool = True) -> list[Promotion]:
        """The candidates that a healthy or ill sample at ``step`` makes good; none that is not to be good ``now``."""
        if not healthy:
            self._ill_at = step
        if not healthy or not now:
            return []
        since = -1 if self._ill_at is None else self._ill_at
        good = [c for c in self.candidates if step - max(c, since) >= self.good_after]
        promotions = [Promotion(checkpoint=c, step=step, generation=generation) for c in good]
        for promotion in promotions:
            self.promote(promotion)
        return promotions

    def promote(self, promotion: Promotion) -> None:
        """A checkpoint was found good."""
        if promotion.checkpoint in self.candidates:
            self.candidates.remove(promotion.checkpoint)
        self.promotions = [*self.promotions, promotion][-KEPT:]

    def recall(self, past: Iterable[Derived]) -> Iterator[int]:
        """In hindsight: the checkpoints that were found good, one after the other."""
        for good in past:
            if isinstance(good, Promoted):
                self.promote(Promotion(checkpoint=good.checkpoint, step=good.step, generation=good.generation))
                yield good.checkpoint

    def restored(self, step: int | None) -> Snapshot | None:
        """The snapshot taken with a checkpoint that has been restored; nothing that was saved later counts any more."""
        if step is None:
            self.candidates.clear()
            return None
        self.candidates = [c for c in self.candidates if c <= step]
        return self._snapshots.get(step)

    def clear(self) -> None:
        self.candidates, self.promotions, self._ill_at = [], [], None
        self._snapshots.clear()

    def _pass_one_over(self) -> None:
        """Of the candidates but the newest, the one that is nearest to the one before it."""
        gaps = {c: c - before for before, c in zip(self.candidates, self.candidates[1:-1], strict=False)}
        self.candidates.remove(min(gaps, key=gaps.__getitem__))

    def _tidy(self) -> None:
        """Forget the oldest snapshots that nobody is likely to ask for."""
        needed = {*self.candidates, *(p.checkpoint for p in self.promotions[-1:])}
        spare = [step for step in self._snapshots if step not in needed]
        for step in spare[: max(0, len(self._snapshots) - KEPT)]:
            del self._snapshots[step]
