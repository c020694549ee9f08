"""``trainguard check``: is anything wrong with a rule file?"""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from trainguard_monitor.numbers import plural

EPILOG = """\b
Exit codes:
  0  nothing is wrong with any of the files
  1  something is wrong: every problem is on standard error, as file:line:column: message
  2  the command line is no good
"""


@click.command(epilog=EPILOG)
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object on standard output.")
@click.pass_context
def check(context: click.Context, files: Sequence[str], as_json: bool) -> None:
    """Check rule files, and report every mistake with its place.

    FILES are rule files, or shipped packs by name. Each is checked by itself: keys, durations and
    actions, and every expression down to the names of its signals.

    \b
        trainguard check my_rules.yaml stability
    """
    reports = [_report(file) for file in files]
    if as_json:
        _print_json(reports)
    else:
        _print(reports)
    context.exit(1 if any(report["problems"] for report in reports) else 0)


def _report(file: str) -> dict[str, Any]:
    from trainguard_rules import RuleFileError, load_rules

    try:
        book = load_rules([file])
    except RuleFileError as error:
        return {"file": file, "problems": [problem._asdict() for problem in error.problems]}
    return {"file": file, "problems": [], "guards": len(book.rules), "expectations": len(book.expectations)}


def _print(reports: Iterable[dict[str, Any]]) -> None:
    from trainguard_rules import Problem

    for report in reports:
        for problem in report["problems"]:
            click.echo(Problem(**problem), err=True)
        if not report["problems"]:
            guards, expectations = report["guards"], report["expectations"]
            said = f"{guards} {plural(guards, 'guard')}, {expectations} {plural(expectations, 'expectation')}"
            click.echo(f"{report['file']}: {said}, ok")


def _print_json(reports: Sequence[dict[str, Any]]) -> None:
    import json

    ok = not any(report["problems"] for report in reports)
    click.echo(json.dumps({"ok": ok, "files": reports}, indent=2))
