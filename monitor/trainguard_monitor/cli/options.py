"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
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


def mode_option(command: _Command) -> _Command:
    return click.option(
        "--mode",
        type=click.Choice(["observe", "approve", "act"]),
        default="act",
        show_default=True,
        help="The most that any rule may do. observe: none acts, each says when it would have. approve: each asks a "
        "person first. act: as the rule files have it. What is stricter in a rule file stays so.",
    )(command)


def in_mode(mode: str) -> str:
    """What to add where it is said under which rules something is watched."""
    return "" if mode == "act" else f" in mode {mode}"


def listen_option(default: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        default=default,
        show_default=True,
        help="Where to serve metrics and the API over HTTP. Port 0 picks a free one.",
    )


def token_file_option(command: _Command) -> _Command:
    return click.option(
        "--token-file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Whoever sends the token in this file may act on runs over HTTP; without one, nobody may. Readable by "
        "its owner only. Needed to listen anywhere but on loopback.",
    )(command)


def webhook_file_option(command: _Command) -> _Command:
    return click.option(
        "--webhook-file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Where notifications go: a line 'NAME URL' for each webhook that rules name. Readable by its owner only.",
    )(command)


def url_option(command: _Command) -> _Command:
    return click.option(
        "--url",
        metavar="URL",
        help="The monitor to ask: where it says that it serves. http://127.0.0.1:9464 if not given, where trainguard "
        "monitor is by default.",
    )(command)


def log_format_option(command: _Command) -> _Command:
    return click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to log to standard error: as text for people, or one JSON object a line.",
    )(command)


def alertmanager_options(command: _Command) -> _Command:
    told = click.option(
        "--alertmanager",
        "alertmanagers",
        metavar="URL",
        multiple=True,
        help="Tell this Alertmanager of every guard that fires, e.g. http://127.0.0.1:9093. Repeat for several.",
    )
    link = click.option(
        "--external-url",
        metavar="URL",
        help="Where people reach the monitor, for links in alerts. Where it listens, if not given.",
    )
    return told(link(command))
