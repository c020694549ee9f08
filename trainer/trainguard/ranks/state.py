"""The training state of all ranks, as one checkpoint of rank 0.

What replicas have in common is that of rank 0. What each rank has of its own, its random states and its position in the
data, is gathered when the checkpoint is taken, and lies beside it under ``ranks``. So there is one file, whole or not
there, and nothing of it is anywhere else.

For a restore rank 0 finds a checkpoint and passes it on, all ranks look whether it fits, and only then each takes it
back, with its own part. So all have the same bits afterwards, also where replicas had drifted apart.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainguard.checkpoints import rng
from trainguard.checkpoints.training_state import Misfit, TrainingState
from trainguard.faults import Faults, describe
from trainguard.progress import Progress
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.rounds import Bytes, Parted

Tree = dict[str, Any]


class JointState:
    """A `TrainingState` of all ranks, who have to come to it together: while rank 0 is in `capture` the others are in
    `gather`, and while it is `searching` they `receive`.
    """

    def __init__(self, state: TrainingState, ranks: Ranks, progress: Progress, faults: Faults) -> None:
        self._state, self._ranks, self._progress, self._faults = state, ranks, progress, faults
        self._gathered_at: tuple[int, int] | None = None
        self._parts: list[Tree | None] = []
        self._has_agreed = False

    def capture(self, *, in_loop: bool) -> Tree:
        """As `TrainingState.capture` has it, and the ``ranks``. Once they have parted, of rank 0 alone."""
        self.gather(in_loop=in_loop)
        return {**self._state.capture(in_loop=in_loop), "ranks": self._parts}

    def gather(self, *, in_loop: bool) -> None:
        """Bring the parts of all ranks to rank 0, once in each step."""
        place = self._progress.generation, self._progress.step
        if place == self._gathered_at:
            return
        part = b""
        with self._faults.around("checkpoint"):
            part = bytes(_packed(self._state.capture_own(in_loop=in_loop)))
        self._gathered_at, self._parts = place, []
        if self._ranks.together:
            try:
                parts = self._ranks.gather(part)
            except Parted:
                return
            if self._ranks.rank == 0:
                self._parts = [_unpacked(np.frombuffer(each, np.uint8)) if each else None for each in parts]

    def forget(self) -> None:
        """What was gathered in this step is no longer what there is."""
        self._gathered_at = None

    def why_not_rewind(self) -> str | None:
        """What the first rank that lacks something lacks. All ranks have to come here. Raises `Parted`."""
        for rank, reason in enumerate(self._ranks.exchange(self._state.why_not_rewind())):
            if reason is not None:
                return f"rank {rank}: {reason}"
        return None

    @contextmanager
    def searching(self) -> Iterator[None]:
        """On rank 0, around its calls of `restore`: the others are told when no more follows."""
        self._has_agreed = False
        try:
            yield
        finally:
            if self._ranks.together and not self._has_agreed:
                self._ranks.pass_on(_NOTHING)

    def restore(self, saved: Mapping[str, Any], *, rewind: bool = False) -> None:
        """On rank 0: pass a checkpoint on, and take it back where it fits all ranks. Raises `Misfit` where not."""
        self._ranks.pass_on(_packed(dict(saved)))
        self.take_back(saved, rewind=rewind)

    def receive(self) -> Tree | None:
        """On the others: the checkpoint that rank 0 passes on, for `take_back`; None where none follows."""
        data = self._ranks.pass_on(_NOTHING)
        return _unpacked(data) if len(data) else None

    def take_back(self, saved: Mapping[str, Any], *, rewind: bool = False) -> None:
        """On all ranks. Raises `Misfit`, and changes nothing, where it does not fit one of them.

        Raises what the user's own ``load_state_dict`` raises. Where only some ranks fail so, what they have are no
        replicas any more, and they part.
        """
        saved = {**saved, **self._part_of(saved)}
        misfit = None
        try:
            self._state.check(saved, rewind=rewind)
        except Misfit as problem:
            misfit = str(problem)
        for rank, problem_there in enumerate(self._ranks.exchange(misfit)):
            if problem_there is not None:
                raise Misfit(f"rank {rank}: {problem_there}")
        self._has_agreed = True
        try:
            self._state.restore(saved, rewind=rewind)
        except Exception as error:
            self._compare(describe(error))
            raise
        self._compare(None)

    def _compare(self, failed: str | None) -> None:
        """Where they part over it, too: this rank's state is what it is by now."""
        try:
            said = self._ranks.exchange(failed)
        except Parted:
            return
        if None in said and any(said):
            rank, reason = next((rank, each) for rank, each in enumerate(said) if each is not None)
            self._ranks.part(f"rank {rank} took back a part of a checkpoint only: {reason}")

    def _part_of(self, saved: Mapping[str, Any]) -> Tree:
        """This rank's own. Where there is none, as of fewer ranks, its random numbers go on."""
        parts, rank = saved.get("ranks", ()), self._ranks.rank
        part = parts[rank] if rank < len(parts) else None
        if part is None and rank > 0:
            self._faults.note("restore", f"the checkpoint has no random states of rank {rank}: they go on")
            return {"rng": rng.capture(), "loader": None}
        return part or {}


def _packed(tree: Tree) -> Bytes:
    stream = io.BytesIO()
    torch.save(tree, stream)
    return np.frombuffer(stream.getbuffer(), np.uint8)


def _unpacked(data: Bytes) -> Tree:
    tree: Tree = torch.load(io.BytesIO(data.data), map_location="cpu", weights_only=True)
    return tree


_NOTHING: Bytes = np.empty(0, np.uint8)
