"""Run directories that are named on the command line, and where runs are if none is."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard_monitor.cli.faults import Fault

if TYPE_CHECKING:
    from trainguard_wire import RunDirectory

RUNS = Path("runs")


def run_directory(path: Path) -> "RunDirectory":
    """The run there, of a schema that we read. Raises `Fault`; of a directory of runs it says which are in it."""
    from trainguard_wire import RunDirectory, RunDirectoryError
    from trainguard_wire.rundir import runs_in

    run = RunDirectory(path)
    if not os.path.isdir(path):
        raise Fault(f"{path}: no such directory")
    try:
        run.read_info()
    except RunDirectoryError as error:
        inside = []
        with suppress(OSError):
            inside = [found.name for found in runs_in(path) if found.path != path]
        hint = f"; the runs in it are {', '.join(inside[:5])}{'...' if len(inside) > 5 else ''}" if inside else ""
        raise Fault(f"{error}{hint}") from None
    return run
