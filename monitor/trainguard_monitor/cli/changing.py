"""What ``trainguard act`` and ``trainguard approve`` share: the way to a monitor with a token, and what comes of it."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trainguard_monitor.cli.faults import Fault, Held, NotDone, Pending, Unreachable

if TYPE_CHECKING:
    from trainguard_monitor.client import Client, ClientError

LOOK_SECONDS = 0.2
MOST_LOOKED_AT = 100  # the newest decisions of a run, ours among them
EPILOG = """\b
Exit codes:
  0  it was done; with --no-wait, it was passed on{also}
  1  it was not done: held back,{withdrawn} refused, expired, failed or lost, and why is on standard error
  2  the command line or the token is no good, or there is no such run{thing}
  3  the run has ended, or another monitor drives it
  4  no monitor answers at the address, or it is too busy to
  5  there is no outcome within --timeout: it still stands, and may be done yet
"""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def changing_options(command: _Command) -> _Command:
    for option in reversed(
        (
            click.option(
                "--token-file",
                metavar="FILE",
                type=click.Path(path_type=Path, dir_okay=False),
                help="The file with the token that the monitor was started with. Readable by its owner only.",
            ),
            click.option(
                "--wait/--no-wait",
                default=True,
                show_default=True,
                help="Whether to wait until the trainer has said what came of it.",
            ),
            click.option(
                "--timeout",
                metavar="SECONDS",
                type=click.FloatRange(min=0, min_open=True),
                default=60.0,
                show_default=True,
                help="How long to wait at most.",
            ),
            click.option("--json", "as_json", is_flag=True, help="What came of it as one JSON object."),
        )
    ):
        command = option(command)
    return command


def connect(url: str | None, token_file: Path | None) -> "Client":
    """The monitor there, or the local one. Raises `Fault`."""
    from trainguard_monitor.http.security import TokenError, read_token

    if token_file is None:
        raise Fault("only whoever has the monitor's token may act on a run: give --token-file")
    try:
        return reach(url, read_token(token_file))
    except TokenError as error:
        raise Fault(str(error)) from None


def reach(url: str | None, token: str | None = None) -> "Client":
    """The same; without a token it may only read. Raises `Fault`."""
    from trainguard_monitor.client import DEFAULT_URL, Client

    try:
        return Client(DEFAULT_URL if url is None else url, token)
    except ValueError as error:
        raise Fault(str(error)) from None


class Wish:
    """Something that is wanted of a run, and until when we wait for it."""

    def __init__(self, client: "Client", run: str, timeout: float) -> None:
        self._client, self._run = client, run
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def send(self, path: str, body: Mapping[str, Any]) -> Any:
        """The monitor's answer. Sent again while it is too busy, which does no harm. Raises `Fault`."""
        return self._patiently(lambda: self._client.post(path, body))

    def read(self) -> Any:
        """What the monitor has of the run. Raises `Fault`."""
        from trainguard_monitor.client import path_of

        return self._patiently(lambda: self._client.get(path_of(self._run)))

    def outcome(self, intervention: str) -> dict[str, Any]:
        """The intervention, once the trainer has answered all of it. Raises `Fault`, `Pending` where it does not."""
        from rich.console import Console

        console = Console(stderr=True)
        waiting = console.status("waiting for the trainer") if console.is_terminal else nullcontext()
        with waiting:
            while True:
                found = self._look(intervention)
                if found is not None and all(action["status"] != "waiting" for action in found["actions"]):
                    return found
                if not self._pause():
                    raise Pending(
                        f"{intervention}: no outcome within {self._timeout:g} s; it still stands, and "
                        "trainguard status tells what comes of it"
                    )

    def _look(self, intervention: str) -> dict[str, Any] | None:
        from trainguard_monitor.client import ClientError, Refused, path_of

        try:
            decisions = self._client.get(path_of(self._run, "interventions"), limit=MOST_LOOKED_AT)
        except Refused as error:
            if error.status == 503:
                return None
            raise _fault_of(error) from None
        except ClientError as error:
            raise Unreachable(f"{error}; {intervention} still stands, and may be done yet") from None
        found: dict[str, Any] | None = next((d for d in reversed(decisions) if d["id"] == intervention), None)
        return found

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        from trainguard_monitor.client import ClientError, Refused

        while True:
            try:
                return ask()
            except ClientError as error:
                busy = isinstance(error, Refused) and error.status in (429, 503)
                if not busy or not self._pause():
                    raise _fault_of(error) from None

    def _pause(self) -> bool:
        """Wait a little; False where the time is over."""
        left = self._deadline - time.monotonic()
        time.sleep(max(0.0, min(LOOK_SECONDS, left)))
        return left > 0


def report(outcome: Mapping[str, Any], *, as_json: bool) -> None:
    """What became of each action, with the values before and after. Raises `NotDone` unless all were applied."""
    if as_json:
        print_json(outcome)
    else:
        for action in outcome["actions"]:
            if action["status"] == "applied":
                click.echo(f"step {action['step']}: {action['text']}")
    vain = [action["text"] for action in outcome["actions"] if action["status"] != "applied"]
    if vain:
        raise NotDone("\n".join(vain))


def print_json(data: Any) -> None:
    import json

    click.echo(json.dumps(data, indent=2))


def person() -> str:
    """Who asks, for the record: the user's name, as far as this system knows it."""
    import getpass

    try:
        return getpass.getuser()[:200]
    except (KeyError, OSError, ImportError):
        return "cli"


def _fault_of(error: "ClientError") -> Fault:
    from trainguard_monitor.client import Refused

    codes = {409: Held, 429: Unreachable, 500: Unreachable, 503: Unreachable}
    kind = codes.get(error.status, Fault) if isinstance(error, Refused) else Unreachable
    return kind(str(error))
