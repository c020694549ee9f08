"""The checkpoints of several ranks: rank 0 keeps them, the others give what is theirs, and follow it back."""

from pathlib import Path
from typing import Any

from trainguard.checkpoints import Checkpointer
from trainguard.checkpoints.training_state import Misfit
from trainguard.faults import Faults
from trainguard.progress import Progress
from trainguard.ranks.state import JointState
from trainguard.settings import Settings


class LeadingCheckpointer(Checkpointer):
    """Of rank 0."""

    def __init__(self, folder: Path, settings: Settings, joint: JointState, **parts: Any) -> None:
        super().__init__(folder, settings, joint, **parts)
        self._joint = joint

    def disown_latest(self) -> None:
        super().disown_latest()
        self._joint.forget()

    def restore(self, before_step: int | None, *, rewind: bool = False) -> int | None:
        with self._joint.searching():
            return super().restore(before_step, rewind=rewind)


class FollowingCheckpointer:
    """Of the other ranks. Keeps nothing."""

    def __init__(self, every: int, joint: JointState, progress: Progress, faults: Faults) -> None:
        self._every, self._joint, self._progress, self._faults = every, joint, progress, faults

    def save(self, *, in_loop: bool = True) -> None:
        self._joint.gather(in_loop=in_loop)

    def save_to_disk(self) -> None:
        self.save()

    def save_quietly(self, *, in_loop: bool = True) -> None:
        self.save(in_loop=in_loop)

    def save_if_due(self) -> None:
        if self._progress.step % self._every == 0:
            self.save()

    def report(self) -> None: ...

    def promote(self, step: int, generation: int) -> None: ...

    def disown_latest(self) -> None:
        self._joint.forget()

    def why_not_rewind(self) -> str | None:
        return self._joint.why_not_rewind()

    def restore(self, before_step: int | None, *, rewind: bool = False) -> int | None:
        """The checkpoint that rank 0 finds."""
        while (saved := self._joint.receive()) is not None:
            try:
                self._joint.take_back(saved, rewind=rewind)
            except Misfit as problem:
                self._faults.note("restore", problem)
                continue
            return int(saved["guard"]["step"])
        return None

    def close(self) -> None: ...
