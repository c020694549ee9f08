"""When to save, where to, and which checkpoint to go back to.

A step pays for a snapshot in memory (`snapshot`). From then on there is a way back to it: as long as it is among
the newest few, from memory (`memory`); after that from disk (`disk`), where a thread carries it meanwhile
(`writer`). So it is reported without waiting for the disk, right after the sample of its step. Everything but the
writing happens in the training thread, at step boundaries.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainguard.checkpoints.base import Readings, State
from trainguard.checkpoints.disk import Damaged, DiskRing, Manifest
from trainguard.checkpoints.memory import Held, MemoryRing, memory_limit
from trainguard.checkpoints.snapshot import Snapshot, num_bytes
from trainguard.checkpoints.training_state import Misfit
from trainguard.checkpoints.writer import PATIENCE, Problem, Writer
from trainguard.clock import Clock
from trainguard.exchange.emitter import Emitter
from trainguard.faults import Faults
from trainguard.progress import Moment, Progress
from trainguard.settings import Settings


class Checkpointer:
    """Saves each ``every`` steps and on request; restores the newest good checkpoint that is whole.

    ``guard_state`` gives what trainguard has changed, for whoever uses the file by hand. A restore leaves it alone:
    it lies over the run, and stays in force.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        state: State,
        *,
        guard_state: Callable[[], dict[str, Any]],
        progress: Progress,
        readout: Readings,
        emitter: Emitter,
        clock: Clock,
        faults: Faults,
    ) -> None:
        self._every, self._exact = settings.checkpoint_every or 0, settings.exact
        self._state = state
        self._memory = MemoryRing(settings.keep_in_memory, memory_limit())
        self._disk = DiskRing(folder, settings.keep)
        self._writer = Writer(self._disk)
        self._guard_state = guard_state
        self._progress, self._readout, self._emitter = progress, readout, emitter
        self._clock, self._faults = clock, faults
        self._latest: tuple[int, int] | None = None
        self._unreported: deque[tuple[Moment, float]] = deque()
        self._good_steps: set[int] = set()
        self._disowned: set[int] = set()

    def clean(self) -> None:
        """Remove what an earlier process left half done."""
        with self._faults.around("checkpoint"):
            self._disk.clean()

    def save(self, *, in_loop: bool = True) -> None:
        """Save the state after the step just done, unless it is saved already. Raises what goes wrong at once."""
        at = self._progress
        if self._latest == (at.generation, at.step):
            return
        began = self._clock.ticks()
        tree = {**self._state.capture(in_loop=in_loop), "guard": self._guard_state()}
        size = num_bytes(tree)
        if self._memory.fits(size):
            held = self._copy(tree, size)
            self._saved(began, tell=in_loop)
            self._writer.write(held)  # last of all: the thread competes for Python's lock from here on
        else:
            self._write_through(tree, size)
            self._saved(began, tell=in_loop)

    def save_to_disk(self) -> None:
        """`save`, and wait until it is on disk. Raises what goes wrong."""
        self.save()
        if not self._writer.flush():
            raise TimeoutError(f"the disk did not take it within {PATIENCE:g} s")
        missing = [problem.error for problem in self._collect() if problem.step == self._progress.step]
        if missing:
            raise missing[0] if isinstance(missing[0], Exception) else OSError(missing[0])

    def save_quietly(self, *, in_loop: bool = True) -> None:
        """`save`, and count and say what goes wrong. ``in_loop``: the loop has begun to iterate over its data."""
        with self._faults.around("checkpoint"):
            self.save(in_loop=in_loop)

    def save_if_due(self) -> None:
        self._collect()
        self._report()
        if self._progress.step % self._every == 0:
            self.save_quietly()

    def report(self) -> None:
        """Say what was saved before the loop began: it can load no other state to go on from any more."""
        with self._faults.around("checkpoint"):
            self._report()

    def promote(self, step: int, generation: int) -> None:
        """Mark a checkpoint good. One that is gone is missed only while there is no good one at all."""
        if step in self._disowned:
            return
        self._good_steps.add(step)
        in_memory = self._memory.promote(step=step, generation=generation)
        self._writer.promote(step=step, generation=generation, missed=not in_memory)

    def disown_latest(self) -> None:
        """The state last saved was none of this run's, as its loop only then loaded the one to go on from.

        It never becomes good, so nobody goes back there, and the monitor does not hear of it.
        """
        if self._latest is not None:
            self._disowned.add(self._latest[1])
            self._latest = None
        self._unreported.clear()

    def why_not_rewind(self) -> str | None:
        """What this run lacks for a full rewind; None where it lacks nothing."""
        return self._state.why_not_rewind()

    def restore(self, before_step: int | None, *, rewind: bool = False) -> int | None:
        """Go back to the newest good checkpoint before a step that is whole and fits; returns its step.

        None where there is none. What goes wrong once the state is being written is raised.
        """
        for checkpoint in self._ways_back(before_step):
            try:
                self._state.restore(self._load(checkpoint), rewind=rewind)
            except (Damaged, Misfit) as problem:
                self._faults.note("restore", problem)
                continue
            return checkpoint.step
        return None

    def close(self) -> None:
        """Wait for what is still on its way to disk, and give up the memory."""
        if not self._writer.close():
            self._faults.note("checkpoint", f"the disk did not take the last one within {PATIENCE:g} s")
        self._collect()
        self._report()
        self._memory.clear()

    def _saved(self, began: float, *, tell: bool) -> None:
        at = self._progress
        self._latest = at.generation, at.step
        self._disowned.discard(at.step)
        self._unreported.append((at.at(self._clock.time()), self._clock.ticks() - began))
        if tell:
            self._report()

    def _report(self) -> None:
        """Say what is saved: only after the sample of its step, by which the rules tell whether the run is well."""
        while self._unreported:
            under_way = self._readout.oldest_under_way
            if under_way is not None and under_way <= self._unreported[0][0].step:
                return
            self._emitter.checkpoint_saved(*self._unreported.popleft())

    def _copy(self, tree: dict[str, Any], size: int) -> Held:
        if self._exact:  # which checkpoints reach the disk must not be a matter of its speed
            self._writer.flush()
        waited = self._writer.make_way()
        given_up = self._memory.make_room(size)
        if waited is not None and waited not in self._memory:
            given_up.append(waited)
        spare = next((held.snapshot for held in given_up if not self._writer.holds(held)), None)
        at = self._progress
        held = Held(at.step, at.generation, self._clock.time(), Snapshot(tree, spare))
        self._memory.add(held, size)
        return held

    def _write_through(self, tree: dict[str, Any], size: int) -> None:
        """The step waits for the disk: no copy is left to others."""
        large = f"a state of {size / 1e9:.1f} GB is too large to be kept in memory: the step waits for the disk"
        self._faults.note("checkpoint.memory", large)
        if not self._writer.flush():
            raise TimeoutError(f"the disk did not take the one before within {PATIENCE:g} s")
        at = self._progress
        self._disk.save(tree, step=at.step, generation=at.generation, created=self._clock.time())

    def _ways_back(self, before_step: int | None) -> Iterator[Held | Manifest]:
        """The good ones, newest first. The disk is left alone where memory has the newest there can be."""
        in_memory = {held.step: held for held in self._memory.good(before_step=before_step)}
        newest = max((step for step in self._good_steps if before_step is None or step < before_step), default=-1)
        tried = in_memory.pop(newest, None)
        if tried is not None:
            yield tried
        ways: dict[int, Held | Manifest] = {manifest.step: manifest for manifest in self._on_disk(before_step)}
        ways |= in_memory
        if tried is not None:
            ways.pop(newest, None)
        yield from sorted(ways.values(), key=lambda checkpoint: checkpoint.age_key, reverse=True)

    def _on_disk(self, before_step: int | None) -> list[Manifest]:
        if self._writer.flush():
            for place in self._disk.illegible(before_step=before_step):
                self._faults.note("restore", f"{place} has no manifest that can be read: it is passed over")
            return self._disk.good(before_step=before_step)
        self._faults.note("restore", f"the disk is busy for more than {PATIENCE:g} s: only memory was searched")
        return []

    def _load(self, checkpoint: Held | Manifest) -> Mapping[str, Any]:
        if isinstance(checkpoint, Manifest):
            return self._disk.load(checkpoint)
        checkpoint.snapshot.wait()
        return checkpoint.snapshot.tree

    def _collect(self) -> list[Problem]:
        """Count and say what went wrong in the writer's thread."""
        found = []
        while self._writer.problems:
            found.append(self._writer.problems.popleft())
            self._faults.note(found[-1].what, found[-1].error)
        return found
