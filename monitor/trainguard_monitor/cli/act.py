"""``trainguard act``: act on a run by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from trainguard_monitor.cli.changing import EPILOG, Wish, changing_options, connect, person, print_json, report
from trainguard_monitor.cli.complete import actions, parameters, runs
from trainguard_monitor.cli.faults import Fault, NotDone
from trainguard_monitor.cli.options import url_option


@click.command(epilog=EPILOG.format(also="", withdrawn="", thing=""))
@click.argument("run", shell_complete=runs)
@click.argument("action", shell_complete=actions)
@click.argument("parameters", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=parameters)
@click.option("--reason", default="", help="Why, for the record.")
@url_option
@changing_options
def act(
    run: str,
    action: str,
    parameters: Sequence[str],
    reason: str,
    url: str | None,
    token_file: Path | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Act on a run by hand, through its monitor.

    ACTION and its parameters are those of rule files: scale_lr, pause, restore_checkpoint... The
    trainer carries it out at the end of a step, and what it says of it is shown: the value before
    and after. The order stands in the run's journal, with who gave it and why.

    \b
        trainguard act a scale_lr factor=0.5 --reason "too fast" --token-file token
        trainguard act a pause at_most=30m --token-file token
        trainguard act a stop --token-file token
    """
    import secrets

    from trainguard_monitor.client import path_of

    wanted = read(action, parameters)
    wish = Wish(connect(url, token_file), run, timeout)
    order = {"actions": [wanted], "by": person(), "reason": reason, "id": secrets.token_hex(8)}
    decision = wish.send(path_of(run, "actions"), order)["decision"]
    if decision["verdict"] != "act":
        raise NotDone(f"{decision['verdict']}: {decision['reason']}")
    if not as_json:
        click.echo(f"step {decision['step']}: {decision['text']}")
    if wait:
        report(wish.outcome(decision["intervention"]), as_json=as_json)
    elif as_json:
        print_json(decision)


def read(action: str, parameters: Sequence[str]) -> dict[str, Any]:
    """An action as a rule file would have it. Raises `Fault` with everything that is wrong with it."""
    from trainguard_rules.rulefile.planning import read_actions
    from trainguard_rules.rulefile.source import read_document

    values: dict[str, Any] = {}
    for parameter in parameters:
        key, equals, text = parameter.partition("=")
        if not equals or not key:
            raise Fault(f"{parameter!r}: want KEY=VALUE, such as factor=0.5")
        if key in values:
            raise Fault(f"{action}: {key!r} is given twice")
        document = read_document(text, key)
        values[key] = text if document.problems else document.data
    try:
        read_actions([{action: values}])
    except ValueError as error:
        raise Fault(str(error).replace("actions[0]: ", "")) from None
    return {action: values}
