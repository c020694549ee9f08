"""When to save, and which checkpoint to go back to: the training state on one side, the ring on the other."""

from collections.abc import Callable
from typing import Any

from trainguard.checkpoints.disk import Damaged, DiskRing
from trainguard.checkpoints.training_state import Misfit, TrainingState
from trainguard.clock import Clock
from trainguard.emitter import Emitter
from trainguard.faults import Faults
from trainguard.progress import Progress


class Checkpointer:
    """Saves each ``every`` steps and on request; restores the newest good checkpoint that is whole."""

    def __init__(
        self,
        ring: DiskRing,
        state: TrainingState,
        guard_state: Callable[[], dict[str, Any]],
        *,
        every: int,
        progress: Progress,
        emitter: Emitter,
        clock: Clock,
        faults: Faults,
    ) -> None:
        self._ring, self._state, self._guard_state = ring, state, guard_state
        self._every = every
        self._progress, self._emitter, self._clock, self._faults = progress, emitter, clock, faults

    def clean(self) -> None:
        """Remove what an earlier process left half done."""
        with self._faults.around("checkpoint"):
            self._ring.clean()

    def save(self) -> None:
        """Save the state after the step just done, unless that is on disk already. Raises what goes wrong."""
        at = self._progress
        if self._ring.has(step=at.step, generation=at.generation):
            return
        began = self._clock.ticks()
        state = {**self._state.capture(), "guard": self._guard_state()}
        self._ring.save(state, step=at.step, generation=at.generation, created=self._clock.time())
        self._emitter.checkpoint_saved(self._clock.ticks() - began)

    def save_quietly(self) -> None:
        with self._faults.around("checkpoint"):
            self.save()

    def save_if_due(self) -> None:
        if self._progress.step % self._every == 0:
            self.save_quietly()

    def promote(self, step: int, generation: int) -> None:
        """Mark a checkpoint good. One that is gone is missed only while there is no good one at all."""
        if not self._ring.promote(step=step, generation=generation) and not self._ring.good():
            self._faults.note("promotion", f"checkpoint {step} is not there any more; a larger keep= holds it longer")

    def restore(self, before_step: int | None) -> int | None:
        """Go back to the newest good checkpoint before a step that is whole and fits; returns its step.

        None where there is none. What goes wrong once the state is being written is raised.
        """
        for manifest in self._ring.good(before_step=before_step):
            try:
                self._state.restore(self._ring.load(manifest))
            except (Damaged, Misfit) as problem:
                self._faults.note("restore", problem)
                continue
            return manifest.step
        return None
