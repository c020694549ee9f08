"""A lease on a run: at most one monitor drives it, at most one trainer writes it.

The lease is the kernel's lock on a file, so it ends with its holder however that dies, and is never stale.
The file's content only says who holds it. The file stays: to unlink it would let two holders in.
"""

import fcntl
import os
import socket
import weakref
from pathlib import Path

import msgspec


class LeaseHeld(RuntimeError):
    """Somebody else holds the lease. ``holder`` is what they wrote about themselves, where it can be read.

    ``is_own``: it is another `Lease` of this process.
    """

    def __init__(self, path: Path, holder: str, *, is_own: bool) -> None:
        self.path, self.holder, self.is_own = path, holder, is_own
        super().__init__(f"{path.parent}: this run already has a {path.stem} ({holder})")


class _Holder(msgspec.Struct):
    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """Hold with `Lease.take`, give back with `release` or as a context manager. One that is dropped ends, too."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._close = weakref.finalize(self, os.close, fd)
        self._close.atexit = False
        _held.add(self)

    @classmethod
    def take(cls, path: Path) -> "Lease":
        """Take the lease kept in the file ``path``.

        Raises `LeaseHeld` where somebody has it, `OSError` where the file can't be made or written.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(fd, path)
        except BaseException:
            os.close(fd)  # and with it the lock: a file left open would lock this process out, too
            raise
        return cls(path, fd)

    def release(self) -> None:
        self._close()

    def is_of(self, fd: int) -> bool:
        """Whether it is held, and its file is this open one."""
        return self._close.alive and os.path.sameopenfile(self._fd, fd)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(fd: int, path: Path) -> None:
    """Lock the open file, and write into it who did."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        is_own = any(lease.is_of(fd) for lease in list(_held))
        raise LeaseHeld(path, _describe(os.pread(fd, 4096, 0)), is_own=is_own) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, msgspec.json.encode(_Holder(os.getpid(), socket.gethostname())), 0)


def _describe(content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content, type=_Holder))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "a process that has not said who it is"


# A forked child (a DataLoader worker) shares its parent's locks until it closes its copies: an orphan
# must not keep the lease of a trainer that died.
_held: "weakref.WeakSet[Lease]" = weakref.WeakSet()


def _release_in_child() -> None:
    for lease in list(_held):
        lease.release()


os.register_at_fork(after_in_child=_release_in_child)
