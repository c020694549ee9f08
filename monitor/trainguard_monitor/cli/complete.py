"""What a shell may complete: names of runs and packs, actions and their parameters, ids of requests.

A Tab may cost a moment, but says nothing and never fails: where nobody answers, there is nothing to offer.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from trainguard_monitor.cli.runs import RUNS

PATIENCE_SECONDS = 1.0

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _quietly(find: Callable[[click.Context], list[str]]) -> _Complete:
    """Of what is found, that which begins as what was typed."""

    @wraps(find)
    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        from trainguard_monitor.client import ClientError

        try:
            found = find(context)
        except (ClientError, ValueError, OSError):
            return []
        return [CompletionItem(word) for word in found if word.startswith(begun)]

    return complete


def _ask(context: click.Context) -> list[dict[str, Any]]:
    from trainguard_monitor.client import DEFAULT_URL, Client

    found: list[dict[str, Any]] = Client(context.params.get("url") or DEFAULT_URL, patience=PATIENCE_SECONDS).get(
        "/api/v1/runs"
    )
    return found


@_quietly
def runs(context: click.Context) -> list[str]:
    """The runs of the monitor that would be asked; where there is none, those in ./runs."""
    from trainguard_monitor.client import NoMonitor
    from trainguard_wire.rundir import runs_in

    try:
        return [run["run"] for run in _ask(context)]
    except NoMonitor:
        return [run.name for run in runs_in(RUNS)]


@_quietly
def requests(context: click.Context) -> list[str]:
    """What waits for an answer in the run that was typed before."""
    return [request for run in _ask(context) if run["run"] == context.params.get("run") for request in run["waiting"]]


@_quietly
def packs(_: click.Context) -> list[str]:
    from trainguard_rules import shipped_packs

    return list(shipped_packs())


@_quietly
def actions(_: click.Context) -> list[str]:
    from trainguard_rules.actions import ACTIONS

    return list(ACTIONS)


@_quietly
def parameters(context: click.Context) -> list[str]:
    """``factor=`` and so on, of the action that was typed before, and the values where there are few."""
    from trainguard_rules.actions import ACTIONS

    model = ACTIONS.get(context.params.get("action") or "")
    given = {parameter.partition("=")[0] for parameter in context.params.get("parameters") or ()}
    found = []
    for name, field in ({} if model is None else model.model_fields).items():
        if name not in given:
            choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
            found += [f"{name}={choice}" for choice in choices] or [f"{name}="]
    return found
