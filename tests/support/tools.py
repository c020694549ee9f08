"""External programs and packages that some tests need."""

import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def need(name: str) -> str:
    """The path of a program, beside Python or anywhere on ``PATH``.

    Without it the test is skipped, but fails where ``CI`` is set: no skip goes unseen.
    """
    beside_python = Path(sys.executable).parent
    path = shutil.which(name, path=f"{beside_python}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def need_module(name: str) -> Any:
    """A module; without its package the test file is skipped, but fails where ``CI`` is set."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} is not installed", allow_module_level=True)


def mortal(command: Sequence[str]) -> list[str]:
    """A command that does not outlive us, however we die; as it is, where the system has no means for that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig=TERM", *command] if setpriv else list(command)
