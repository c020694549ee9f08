"""A ring of checkpoints whose process dies, or whose disk fails, at every single thing it does to the file system.

Run as ``python -m tests.trainer.checkpoints.crashing FOLDER`` by test_crashes.py: each death is that of a forked
process, and to fork, a process had better have no threads. Prints how many deaths and failures there were.
"""

import errno
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from trainguard.checkpoints.disk import STATE, DiskRing

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "shutil.rmtree")


class Trap:
    """Springs at the n-th thing that is done to files under ``folder``, as Python's own audit events tell."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._spring: Callable[[], None] = lambda: None
        self._left = 0
        self.count = 0
        sys.addaudithook(self._hear)

    @contextmanager
    def armed(self, at: int, spring: Callable[[], None]) -> Iterator[None]:
        self.count, self._left, self._spring = 0, at, spring
        try:
            yield
        finally:
            self._left = 0

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left and event in EVENTS and str(arguments[0]).startswith(self._folder):
            self.count += 1
            if self.count == self._left:
                self._spring()


def state(step: int, generation: int) -> dict[str, Any]:
    return {"model": {"w": torch.full((2000,), float(step))}, "generation": generation}


def save(ring: DiskRing, step: int, generation: int = 0) -> None:
    ring.save(state(step, generation), step=step, generation=generation, created=0.0)


WORK: list[Callable[[DiskRing], Any]] = [
    lambda ring: save(ring, 4),
    lambda ring: ring.promote(step=3, generation=0),
    lambda ring: save(ring, 3, generation=1),  # in the place of another
    lambda ring: save(ring, 5, generation=1),
]


def prepared(folder: Path) -> DiskRing:
    """Step 1, which is good, and two newer ones."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    ring = DiskRing(folder, keep=2)
    for step in (1, 2, 3):
        save(ring, step)
        ring.promote(step=1, generation=0)
    return ring


def check(folder: Path) -> list[tuple[int, int, str]]:
    """Every checkpoint that is there is whole; returns what is there."""
    ring = DiskRing(folder, keep=2)
    found = []
    for manifest in ring.all():
        loaded, expected = ring.load(manifest), state(manifest.step, manifest.generation)
        assert torch.equal(loaded["model"]["w"], expected["model"]["w"]), manifest
        assert loaded["generation"] == manifest.generation
        found.append((manifest.step, manifest.generation, manifest.status))
    return found


def check_next_process(folder: Path, expected: list[tuple[int, int, str]]) -> None:
    """It cleans up, loses nothing by that, and with the same work done again all is as if nothing had happened."""
    ring = DiskRing(folder, keep=2)
    before = check(folder)
    ring.clean()
    after = check(folder)
    assert set(after) >= set(before)
    assert any(status == "good" for *_, status in after) or (3, 1, "candidate") in after, "no way back is lost"
    leftovers = [path for path in folder.rglob("*") if path.suffix in (".tmp", ".old")]
    assert leftovers == []
    for work in WORK:
        work(ring)
    assert check(folder)[-2:] == expected[-2:]
    assert sorted(path.name for path in folder.iterdir()) == sorted({f"step-{s:08d}" for s, _, _ in check(folder)})


def dies(work: Callable[[], Any]) -> bool:
    """Whether a forked process that does this is killed by it."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def do_all(ring: DiskRing) -> None:
    for work in WORK:
        work(ring)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    trap = Trap(folder)
    ring = prepared(folder)
    with trap.armed(sys.maxsize, lambda: None):
        do_all(ring)
    total, expected = trap.count, check(folder)

    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for at in range(1, total + 1):
        ring = prepared(folder)
        with trap.armed(at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            assert dies(lambda ring=ring: do_all(ring)), at
        check_next_process(folder, expected)

        ring = prepared(folder)
        with trap.armed(at, fail):
            for work in WORK:
                with suppress(OSError):
                    work(ring)
        check_next_process(folder, expected)

    size = next(folder.glob(f"*/{STATE}")).stat().st_size
    sizes = [0, 1, size // 2, size - 1]
    for limit in sizes:  # the kernel kills who writes the first byte beyond it
        ring = prepared(folder)
        assert dies(lambda ring=ring, limit=limit: killed_beyond(limit, ring))
        assert any(folder.glob("*.tmp"))
        check_next_process(folder, expected)
    print(f"{total} deaths and failures, {len(sizes)} deaths in the middle of a file")


def killed_beyond(limit: int, ring: DiskRing) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    do_all(ring)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
