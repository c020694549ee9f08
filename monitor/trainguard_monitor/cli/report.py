"""``trainguard report``: the story of a run as one HTML file."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from trainguard_monitor.cli.faults import Fault
from trainguard_monitor.cli.progress import progress
from trainguard_monitor.cli.runs import run_directory

EPILOG = """\b
Exit codes:
  0  the report was written
  2  the command line, RUN or a rule file is no good, or the file can't be written
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to write it; - is standard output. <run>-report.html in the working directory if not given.",
)
@click.option(
    "--rules",
    metavar="PACK_OR_FILE",
    multiple=True,
    help="Where the text of the rules is. Where the monitor found it, if not given. Repeat for several.",
)
def report(run: Path, output: Path | None, rules: Sequence[str]) -> None:
    """Tell the story of a run in one HTML file.

    Charts of its signals, every incident with what was decided and what came of it, the rules and how
    often each fired, its checkpoints, its processes. The file needs nothing else: no network, no
    script. RUN is a run directory, of a training that is over or still going on; it is only read.

    \b
        trainguard report runs/a
        trainguard report runs/a -o story.html --rules my_rules.yaml
    """
    from trainguard_monitor.recorded.replay import telemetry_bytes
    from trainguard_monitor.report.material import read
    from trainguard_monitor.report.page import render
    from trainguard_monitor.report.rules import rules_of
    from trainguard_rules import RuleFileError

    directory = run_directory(run)
    try:
        with progress("reading", telemetry_bytes(directory)) as advance:
            material = read(directory, advance)
        text = render(material, rules_of(material, rules), time.time())
    except RuleFileError as error:
        raise Fault(str(error)) from None
    except OSError as error:
        raise Fault(f"{run}: can't be read: {error}") from None
    _write(text, output or Path(f"{directory.name}-report.html"))


def _write(text: str, output: Path) -> None:
    """As a whole, or not at all."""
    if str(output) == "-":
        sys.stdout.buffer.write(text.encode())
        return
    pending = output.with_name(f".{output.name}.tmp")
    try:
        pending.write_text(text, encoding="utf-8")
        os.replace(pending, output)
    except OSError as error:
        pending.unlink(missing_ok=True)
        raise Fault(f"{output}: can't be written: {error.strerror or error}") from None
    click.echo(f"{output}: {len(text.encode()) / 1000:,.0f} kB", err=True)
