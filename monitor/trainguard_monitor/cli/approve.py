"""``trainguard approve``: answer a rule that asks before it acts."""

from pathlib import Path

import click

from trainguard_monitor.cli.changing import EPILOG, Wish, changing_options, connect, person, print_json, reach, report
from trainguard_monitor.cli.complete import requests, runs
from trainguard_monitor.cli.options import url_option


@click.command(epilog=EPILOG.format(also="; denied, or listed", withdrawn=" withdrawn,", thing=" or request"))
@click.argument("run", shell_complete=runs)
@click.argument("id", required=False, shell_complete=requests)
@click.option("--deny", is_flag=True, help="Say no.")
@url_option
@changing_options
def approve(
    run: str,
    id: str | None,
    deny: bool,
    url: str | None,
    token_file: Path | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Answer a rule in mode approve, which asks before it acts.

    Without ID, what waits for an answer in the run is listed. Approved, it is carried out at the end
    of a step, and what the trainer says of it is shown.

    \b
        trainguard approve a
        trainguard approve a LossFarAboveBaseline.0.544 --token-file token
        trainguard approve a LossFarAboveBaseline.0.544 --deny --token-file token
    """
    if id is None:
        if deny:
            raise click.UsageError("--deny what? give the ID")
        _list(Wish(reach(url), run, timeout), run, as_json=as_json)
        return
    from trainguard_monitor.client import path_of

    wish = Wish(connect(url, token_file), run, timeout)
    answer = wish.send(path_of(run, "approvals", id), {"approved": not deny, "by": person()})
    if not as_json:
        click.echo(f"{id}: {'denied' if deny else 'approved'}")
    if wait and not deny:
        report(wish.outcome(id), as_json=as_json)
    elif as_json:
        print_json(answer)


def _list(wish: Wish, run: str, *, as_json: bool) -> None:
    from trainguard_monitor.recorded.story import planned

    detail = wish.read()
    if as_json:
        print_json(detail["requests"])
        return
    why = {rule["name"]: rule["annotations"].get("summary") or rule["expr"] for rule in detail["rules"]}
    for request in detail["requests"]:
        actions = ", then ".join(planned(action["kind"], action.get("params", {})) for action in request["actions"])
        click.echo(f"{request['id']}: {why[request['rule']]}: {actions}? (until step {request['expires_step']})")
    if not detail["requests"]:
        click.echo(f"nothing waits for an answer in run {run}", err=True)
