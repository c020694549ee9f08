"""Files that hold a secret: nobody but their owner may read them.

Kubernetes mounts secrets for a process that is not root as files of root's which its group may read. There is no other
way for it to read one, so that is allowed, too.
"""

import os
import stat
from pathlib import Path

MOST_BYTES = 64 * 1024


class PrivateFileError(ValueError):
    """A file that can't be used. The message says why, and what to do."""


def read_private(path: Path, what: str) -> str:
    """The text of a file, which is ``what`` to people. Raises `PrivateFileError`."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(MOST_BYTES)
    except OSError as error:
        raise PrivateFileError(f"{what} {path}: {error.strerror or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise PrivateFileError(f"{what} {path}: not a regular file")
    if not is_private(found.st_mode, owner=found.st_uid, us=os.geteuid()):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise PrivateFileError(f"{what} {path}: mode {mode} lets others than its owner at it: chmod 600 {path}")
    return text.decode("utf-8", "replace")


def is_private(mode: int, *, owner: int, us: int) -> bool:
    """Whether a file with these permissions, of this user, is a secret of ours."""
    given_by_root = owner == 0 != us
    return not mode & (0o037 if given_by_root else 0o077)
