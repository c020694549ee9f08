"""The thread that carries checkpoints to disk. It lives only while there is something to write.

At most one checkpoint is being written and one waits. Where the next comes before that one's turn, the newest
wins: the other never reaches the disk, which is a problem to tell. Marks of good checkpoints are made here too, in
their turn, so that one thread alone writes the folder.

Nothing is raised. Problems wait in ``problems`` for the training thread, which counts and says them. A disk that
hangs can't keep the process alive: at the interpreter's exit the rest is written, as far as that takes no longer
than `PATIENCE`.

The step that hands a checkpoint over must not wait for the thread. ``threading.Thread.start`` does: until the new
thread runs, which on a busy machine is many times what the copy took. So the thread is started a level below.

Such a thread may be at its last instructions when the interpreter exits, which then ends it wherever it stands; and
where that is the freeing of a tensor, it ends the process with an abort. So the thread lets go of all tensors before it
says that it is done, and its start is handed none.
"""

import atexit
import os
from _thread import start_new_thread
from collections import deque
from threading import Event, Lock
from typing import NamedTuple

from trainguard.checkpoints.disk import DiskRing
from trainguard.checkpoints.memory import Held

PATIENCE = 120.0  # seconds to wait for a disk before it counts as one that hangs


class Problem(NamedTuple):
    """``step`` is that of the checkpoint which is not on disk for it."""

    what: str
    error: Exception | str
    step: int


class _Mark(NamedTuple):
    """A checkpoint to be marked good; ``missed`` if it is nowhere."""

    step: int
    generation: int
    missed: bool


class Writer:
    """Writes into a `DiskRing`, in order, on a thread of its own."""

    def __init__(self, ring: DiskRing) -> None:
        self.problems: deque[Problem] = deque()
        self._ring = ring
        self._lock = Lock()
        self._jobs: deque[Held | _Mark] = deque()
        self._handed: Held | _Mark | None = None
        self._writing: Held | None = None
        self._idle = Event()
        self._idle.set()
        self._process = os.getpid()

    def write(self, held: Held) -> None:
        """Have it written, in place of one that still waits."""
        self.make_way()
        with self._lock:
            self._add(held)

    def make_way(self) -> Held | None:
        """Take back the one that still waits, since a newer one is coming."""
        with self._lock:
            waiting = next((job for job in self._jobs if isinstance(job, Held)), None)
            if waiting is None:
                return None
            self._jobs.remove(waiting)
        slow = f"the state of step {waiting.step} was not written: the disk is slower than checkpoints are taken"
        self.problems.append(Problem("checkpoint.skipped", slow, waiting.step))
        return waiting

    def promote(self, *, step: int, generation: int, missed: bool) -> None:
        """Have it marked good. That it is not there is a problem only if ``missed``, and while no other is good."""
        with self._lock:
            self._add(_Mark(step, generation, missed))

    def holds(self, held: Held) -> bool:
        """Whether its memory is still to be read."""
        with self._lock:
            return self._writing is held or held in self._jobs

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all is written, so long at most; whether it is."""
        return self._idle.wait(seconds)

    def close(self) -> bool:
        """`flush`, for the last time: the exit of the interpreter waits no second time for a disk that hangs."""
        done = self.flush()
        atexit.unregister(self._finish)
        return done

    def _add(self, job: Held | _Mark) -> None:
        if not self._idle.is_set():
            self._jobs.append(job)
            return
        self._handed = job
        try:
            start_new_thread(self._work, ())
        except RuntimeError as error:  # as many threads as the system gives are there
            self._handed = None
            self.problems.append(Problem("checkpoint", error, job.step))
            return
        self._begin(job)
        self._idle.clear()
        atexit.register(self._finish)

    def _finish(self) -> None:
        if os.getpid() == self._process:  # a forked process has a copy of this, and not the thread
            self.flush()

    def _work(self) -> None:
        job, self._handed = self._handed, None
        while job is not None:
            try:
                self._do(job)
            except Exception as error:
                self.problems.append(Problem("checkpoint", error, job.step))
            job = None  # before anybody hears that all is done: see the head
            job = self._next()

    def _next(self) -> Held | _Mark | None:
        with self._lock:
            job = self._jobs.popleft() if self._jobs else None
            self._begin(job)
            if job is None:
                atexit.unregister(self._finish)
                self._idle.set()
            return job

    def _begin(self, job: Held | _Mark | None) -> None:
        self._writing = job if isinstance(job, Held) else None

    def _do(self, job: Held | _Mark) -> None:
        if isinstance(job, Held):
            job.snapshot.wait()
            self._ring.save(job.snapshot.tree, step=job.step, generation=job.generation, created=job.created)
        elif not self._ring.promote(step=job.step, generation=job.generation) and job.missed and not self._ring.good():
            gone = f"checkpoint {job.step} is not there any more; a larger keep= holds it longer"
            self.problems.append(Problem("promotion", gone, job.step))
