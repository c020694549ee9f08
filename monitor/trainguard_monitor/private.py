"""Files that hold a secret: nobody but their owner may read them."""

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
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise PrivateFileError(f"{what} {path}: mode {mode} lets others than its owner at it: chmod 600 {path}")
    return text.decode("utf-8", "replace")
