"""External programs that some tests need."""

import os
import shutil

import pytest


def need(name: str) -> str:
    """The path of a program. Without it the test is skipped, but fails where ``CI`` is set: no skip goes unseen."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path
