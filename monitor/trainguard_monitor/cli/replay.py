"""``trainguard replay``: what rules would have done on a recorded run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import Fault
from trainguard_monitor.cli.options import rules_option
from trainguard_monitor.cli.progress import progress
from trainguard_monitor.cli.runs import run_directory
from trainguard_monitor.numbers import plural

if TYPE_CHECKING:
    from rich.table import Table

    from trainguard_monitor.recorded.replay import Deed, Mode, Replay
    from trainguard_rules import RuleBook

MOST_ROWS = 200
WIDTH_OF_FILES = 160
EPILOG = """\b
Exit codes:
  0  the whole run was read, whatever the rules decided
  2  the command line, a rule file or RUN is no good
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@rules_option
@click.option(
    "--mode",
    type=click.Choice(["observe", "act"]),
    default="observe",
    show_default=True,
    help="observe: no rule acts, each says when it would have. act: as the rule files have it; an intervention "
    "that was not made then is never answered, and others wait until it has expired.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object on standard output.")
def replay(run: Path, rules: Sequence[str], mode: "Mode", as_json: bool) -> None:
    """Judge a recorded run by other rules.

    What they decide is shown side by side with what was done then. RUN is a run directory, of a
    training that is over or still going on. Nothing in it is changed.
    Use it to try new rules, or new thresholds, on trainings you have:

    \b
        trainguard replay runs/a --rules my_rules.yaml

    The telemetry shows the run as it really went. Where the rules would have acted and nobody did,
    or the other way round, what follows is about a run that would have gone another way.
    """
    from trainguard_monitor.recorded.replay import replay, telemetry_bytes

    book, directory = _load(rules), run_directory(run)
    try:
        with progress("replaying", telemetry_bytes(directory)) as advance:
            result = replay(directory, book, mode, advance)
    except OSError as error:
        raise Fault(f"{run}: can't be read: {error}") from None
    if as_json:
        import json

        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _print(result)


def _load(rules: Sequence[str]) -> "RuleBook":
    from trainguard_rules import RuleFileError, load_rules

    try:
        return load_rules(rules)
    except RuleFileError as error:
        raise Fault(str(error)) from None


def _print(result: "Replay") -> None:
    from rich.console import Console

    from trainguard_monitor.recorded.replay import NOTE

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_OF_FILES)
    console.print(_head(result), markup=False, soft_wrap=True)
    rows = result.rows()
    if rows:
        console.print()
        console.print(_decisions(result))
        missing = result.omitted + sum(len(row.now) + len(row.then) for row in rows[MOST_ROWS:])
        if missing:
            console.print(f"... and {missing} more decisions: --json has the first 10000 of each side")
    else:
        console.print("No rule decided anything, neither now nor then.")
    if result.now.counts() or result.then.counts():
        console.print()
        console.print(_counts(result))
    for name, reached in sorted(result.now.reached.items()):
        word = "met" if reached.met else "missed"
        console.print(f"{name}: {word} at step {reached.step} ({reached.reason})", markup=False)
    console.print()
    console.print(NOTE, style="dim")


def _head(result: "Replay") -> str:
    then = f"recorded under {'; '.join(result.rules_then)}" if result.rules_then else "recorded without a monitor"
    if result.same_rules:
        then += " (among them these very rules)" if len(result.rules_then) > 1 else " (these very rules)"
    lines = f"{result.corrupt} {plural(result.corrupt, 'line')}"
    corrupt = f", {lines} that can't be read" if result.corrupt else ""
    return (
        f"{result.run}: {result.records} records to step {result.step}{corrupt}, {then}\n"
        f"replayed under {', '.join(result.rules)} in mode {result.mode}"
    )


def _decisions(result: "Replay") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("step", justify="right", style="cyan", no_wrap=True)
    for column in ("rule", "these rules decide", "what was done then"):
        table.add_column(column, overflow="fold")
    several = result.generation > 0
    for row in result.rows()[:MOST_ROWS]:
        step = f"{row.step}" + (f" (gen {row.generation})" if several else "")
        table.add_row(step, Text(row.rule), Text(_told(row.now)), Text(_told(row.then)))
    return table


def _counts(result: "Replay") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("rule", "these rules", "then"):
        table.add_column(column, overflow="fold")
    now, then = result.now.counts(), result.then.counts()
    for rule in sorted({*now, *then}):
        table.add_row(rule, _counted(now.get(rule)), _counted(then.get(rule)))
    return table


def _counted(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{what} {number}" for what, number in counts.items()) if counts else "-"


def _told(deeds: "Sequence[Deed]") -> str:
    return "\n".join(map(_deed, deeds)) or "-"


def _deed(deed: "Deed") -> str:
    if deed.verdict.startswith("hold_"):
        return f"{deed.verdict}: {deed.reason}"
    actions = zip(deed.actions, deed.outcomes, strict=True)
    return f"{deed.verdict}: " + ", ".join(action.kind + (f" ({end})" if end else "") for action, end in actions)
