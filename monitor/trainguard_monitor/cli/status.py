"""``trainguard status``: how are the runs?"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from trainguard_monitor.cli.faults import Fault, Unreachable
from trainguard_monitor.cli.options import url_option
from trainguard_monitor.cli.runs import RUNS
from trainguard_monitor.cli.settings import strength

if TYPE_CHECKING:
    from trainguard_monitor.client import Client
    from trainguard_monitor.recorded.glance import Glance

EVERY_SECONDS = 1.0
EPILOG = """\b
Exit codes:
  0  the runs were shown, whatever their state
  2  the command line is no good, or there is no such directory that can be read
  4  no monitor answers at the address
"""


@click.command(epilog=EPILOG)
@click.argument("runs_dir", required=False, type=click.Path(path_type=Path, file_okay=False))
@url_option
@click.option("--watch", is_flag=True, help="Go on, and show what changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object on standard output.")
@click.pass_context
def status(context: click.Context, runs_dir: Path | None, url: str | None, watch: bool, as_json: bool) -> None:
    """Show all runs, those first that need somebody to look.

    A monitor is asked: the one at --url, or the local one. With RUNS_DIR no monitor is asked, and the
    files in it are read: the directory of the runs, or one run. The states of rules are then those
    that the last monitor wrote down. Where no local monitor answers, the directory ./runs is read so.

    \b
        trainguard status
        trainguard status runs --watch
        trainguard status --json | jq '.runs[] | select(.firing != [])'
    """
    if watch and as_json:
        raise click.UsageError("--watch and --json don't go together")
    if runs_dir is not None and url is not None:
        files, asked = strength(context, "runs_dir"), strength(context, "url")
        if files == asked:
            raise click.UsageError("RUNS_DIR is read from files, --url asks a monitor: give one of them")
        runs_dir, url = (runs_dir, None) if files > asked else (None, url)
    look = _files(runs_dir) if runs_dir is not None else _monitor(url)
    if as_json:
        import json

        click.echo(json.dumps(look().as_dict(), indent=2))
    elif watch:
        _watch(look)
    else:
        from trainguard_monitor.cli.roster import console, drawn

        screen = console()
        screen.print(drawn(look(), screen.width))


class Roster(NamedTuple):
    """The runs, most urgent first, and where they come from."""

    source: str
    is_live: bool  # from a monitor, not from files
    time: float
    runs: list[dict[str, Any]]
    note: str = ""

    @classmethod
    def of(cls, source: str, runs: list[dict[str, Any]], *, live: bool, note: str = "") -> "Roster":
        runs = sorted(runs, key=lambda run: (run["health"]["rank"], -(run["last_sample"] or 0.0), run["run"]))
        return cls(source, live, time.time(), runs, note)

    def as_dict(self) -> dict[str, Any]:
        return {"from": "monitor" if self.is_live else "files", "source": self.source, "time": self.time} | {
            "note": self.note,
            "runs": self.runs,
        }


Look = Callable[[], Roster]


def _files(runs_dir: Path) -> Look:
    if not os.path.isdir(runs_dir):
        raise Fault(f"{runs_dir}: no such directory")
    return _Files(runs_dir, "").look


def _monitor(url: str | None) -> Look:
    """The monitor there, or the local one, or in its place the local directory. Raises `Fault`."""
    from trainguard_monitor.client import DEFAULT_URL, Client, ClientError, NoMonitor

    try:
        client = Client(DEFAULT_URL if url is None else url)
        client.get("/api/v1/runs")
    except ValueError as error:
        raise Fault(str(error)) from None
    except NoMonitor as error:
        if url is None and os.path.isdir(RUNS):
            return _Files(RUNS, f"no monitor answers at {client.url}").look
        hint = "" if url else f", and there is no directory {RUNS}/: give RUNS_DIR or --url"
        raise Unreachable(f"{error}{hint}") from None
    except ClientError as error:
        raise Unreachable(f"{client.url}: {error}") from None
    return lambda: _asked(client)


def _asked(client: "Client") -> Roster:
    from trainguard_monitor.client import ClientError

    try:
        runs = client.get("/api/v1/runs")
    except ClientError as error:
        raise Unreachable(f"{client.url}: {error}") from None
    return Roster.of(client.url, runs, live=True)


class _Files:
    """The runs in a directory, read anew only as far as they are new."""

    def __init__(self, directory: Path, why: str) -> None:
        self._directory = directory
        self._note = f"{why}; read from files" if why else "read from files"
        self._glances: dict[tuple[Path, int], Glance] = {}

    def look(self) -> Roster:
        from trainguard_monitor.recorded.glance import Glance
        from trainguard_monitor.views.health import health_of
        from trainguard_wire.rundir import runs_in

        try:
            found = {(run.path, run.path.stat().st_ino): run for run in runs_in(self._directory)}
        except OSError as error:
            raise Fault(f"{self._directory}: can't be read: {error.strerror or error}") from None
        self._glances = {key: self._glances.get(key) or Glance(run) for key, run in found.items()}
        looks = [glance.look() for glance in self._glances.values()]
        shown = [look | {"health": health_of(look, {}, time.time())._asdict()} for look in looks]
        note = f"{self._note}: rules are as the last monitor of each run left them"
        return Roster.of(str(self._directory), shown, live=False, note=note)


def _watch(look: Look) -> None:
    from contextlib import suppress

    from rich.live import Live

    from trainguard_monitor.cli.roster import console, drawn

    screen = console()
    if not screen.is_terminal:
        raise click.UsageError("--watch draws on a terminal, and standard output is none: leave it out")
    with suppress(KeyboardInterrupt), Live(console=screen, auto_refresh=False) as live:
        roster, trouble = look(), ""
        while True:
            live.update(drawn(roster, screen.width, trouble), refresh=True)
            time.sleep(EVERY_SECONDS)
            try:
                roster, trouble = look(), ""
            except Fault as error:
                trouble = str(error)
