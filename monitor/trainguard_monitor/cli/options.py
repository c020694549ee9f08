"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def rules_option(command: _Command) -> _Command:
    return click.option(
        "--rules",
        "rules",
        metavar="PACK_OR_FILE",
        multiple=True,
        default=("stability",),
        show_default=True,
        help="A shipped rule pack by name, or a rule file. Repeat for several.",
    )(command)


def listen_option(default: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        default=default,
        show_default=True,
        help="Where to serve /metrics and health checks over HTTP. Port 0 picks a free one.",
    )
