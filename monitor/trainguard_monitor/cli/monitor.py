"""``trainguard monitor``: the daemon, in the foreground."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import Fault, Held
from trainguard_monitor.cli.options import (
    alertmanager_options,
    in_mode,
    listen_option,
    log_format_option,
    mode_option,
    rules_option,
    token_file_option,
    webhook_file_option,
)

if TYPE_CHECKING:
    from socket import socket

    from trainguard_monitor.http.security import Door
    from trainguard_monitor.logs import LogFormat
    from trainguard_monitor.notifier.notifier import Notifier
    from trainguard_rules import RuleBook
    from trainguard_wire.journal import Mode

EPILOG = """\b
Exit codes:
  0  stopped by SIGTERM or SIGINT, every run read to its end
  2  the command line, a file that it names, an address or RUNS_DIR is no good
  3  RUNS_DIR is a single run, and another monitor drives it
"""


@click.command(epilog=EPILOG)
@click.argument("runs_dir", type=click.Path(path_type=Path, file_okay=False))
@rules_option
@mode_option
@listen_option("127.0.0.1:9464")
@token_file_option
@alertmanager_options
@webhook_file_option
@click.option("--polling", is_flag=True, help="Find new runs by polling, for NFS and other shared file systems.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write the address here once ready.")
@log_format_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What to log at least.",
)
@click.option("--stop-with-stdin", is_flag=True, hidden=True)
def monitor(
    runs_dir: Path,
    rules: Sequence[str],
    mode: "Mode",
    listen: str,
    token_file: Path | None,
    alertmanagers: Sequence[str],
    external_url: str | None,
    webhook_file: Path | None,
    polling: bool,
    ready_file: Path | None,
    log_format: "LogFormat",
    log_level: str,
    stop_with_stdin: bool,
) -> None:
    """Watch the runs in RUNS_DIR, and act on them by the rules.

    RUNS_DIR is the directory in which trainings make their run directories, or one run directory.
    It is made when it is not there. Runs may come and go; a monitor that was killed goes on where
    it was. Runs that another monitor drives are taken over when that one ends.

    \b
        trainguard monitor runs --rules stability --rules my_rules.yaml
    """
    from trainguard_monitor.daemon import Daemon
    from trainguard_monitor.http.app import build_app
    from trainguard_monitor.http.server import AddressError, Server, address_of, bind
    from trainguard_monitor.logs import configure
    from trainguard_monitor.reloading import Reloader, RuleWatch
    from trainguard_wire import LeaseHeld, RunDirectoryError

    configure(log_format, log_level)
    _allow_many_files()
    book = _load(rules).with_mode(mode)
    try:
        bound = bind(listen)
    except AddressError as error:
        raise Fault(str(error)) from None
    notifier = _notifier(alertmanagers, external_url or f"http://{address_of(bound)}")
    daemon = Daemon(runs_dir, book, polling=polling, sink=notifier, webhooks=_webhooks(webhook_file))
    reloader = Reloader(daemon, rules, mode)
    watch = RuleWatch(reloader, polling=polling)
    door, loopback = _door(token_file, bound)
    app = build_app(daemon, door=door, reload=reloader.reload, loopback=loopback, notifier=notifier)
    server = Server(app, bound)
    _stop_on_signals(daemon.stop)
    signal.signal(signal.SIGHUP, lambda *_: watch.request())
    if stop_with_stdin:
        threading.Thread(target=_when_stdin_closes, args=(daemon.stop,), daemon=True).start()
    server.start()
    watch.start()
    notifier.start()
    try:
        daemon.run(on_ready=lambda: _announce(runs_dir, mode, address_of(bound), ready_file))
    except LeaseHeld as error:
        raise Held(f"{error}; stop it first") from None
    except RunDirectoryError as error:
        raise Fault(str(error)) from None
    except OSError as error:
        raise Fault(f"can't watch {runs_dir}: {error}") from None
    finally:
        watch.stop()
        notifier.stop()
        server.stop()


def _load(rules: Sequence[str]) -> "RuleBook":
    from trainguard_rules import RuleFileError, load_rules

    try:
        return load_rules(rules)
    except RuleFileError as error:
        raise Fault(str(error)) from None


def _webhooks(file: Path | None) -> dict[str, str]:
    from trainguard_monitor.private import PrivateFileError
    from trainguard_monitor.webhooks.file import read_webhooks

    try:
        return {} if file is None else read_webhooks(file)
    except PrivateFileError as error:
        raise Fault(str(error)) from None


def _door(token_file: Path | None, bound: "socket") -> "tuple[Door, str | None]":
    """Who may change anything; and the address, where it is one of loopback."""
    from trainguard_monitor.http.security import Door, TokenError, is_loopback, read_token
    from trainguard_monitor.http.server import address_of

    try:
        token = None if token_file is None else read_token(token_file)
    except TokenError as error:
        raise Fault(str(error)) from None
    host = bound.getsockname()[0]
    if is_loopback(host):
        return Door(token), host
    if token is None:
        address = address_of(bound)
        raise Fault(f"{address} can be reached from other machines: give --token-file, or listen on 127.0.0.1")
    return Door(token), None


def _allow_many_files() -> None:
    """A run takes four open files, and the limit that processes start with is often for a few hundred runs only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems have a hard limit that can't be had
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _notifier(alertmanagers: Sequence[str], external_url: str) -> "Notifier":
    from trainguard_monitor.notifier.endpoint import Endpoint, EndpointError
    from trainguard_monitor.notifier.notifier import Notifier

    try:
        return Notifier([Endpoint(url) for url in alertmanagers], external_url)
    except EndpointError as error:
        raise Fault(str(error)) from None


def _announce(runs_dir: Path, mode: "Mode", address: str, ready_file: Path | None) -> None:
    import logging

    said = "watching %s%s, serving http://%s/metrics"
    logging.getLogger(__name__).info(said, runs_dir, in_mode(mode), address)
    if ready_file is not None:
        pending = ready_file.with_name(ready_file.name + ".tmp")
        try:
            pending.write_text(address + "\n")
            os.replace(pending, ready_file)
        except OSError as error:
            raise Fault(f"ready file {ready_file}: can't be written: {error.strerror or error}") from None


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """The first signal asks for an orderly end; a second one ends the process at once."""

    def handle(signum: int, _: object) -> None:
        signal.signal(signum, signal.SIG_DFL)
        stop()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)


def _when_stdin_closes(stop: Callable[[], None]) -> None:
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    stop()
