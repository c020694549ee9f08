"""``trainguard run -- COMMAND``: a training with a monitor at its side."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import SIGNALLED, Fault, NotExecutable, NotFound
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
from trainguard_monitor.cli.runs import RUNS

if TYPE_CHECKING:
    from trainguard_monitor.logs import LogFormat
    from trainguard_monitor.recorded.summary import Session
    from trainguard_monitor.sidecar import Sidecar
    from trainguard_wire.journal import Mode

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
EPILOG = """\b
Exit codes:
  the training's own; 128 + N when signal N killed it
  2    the command line, a file that it names, an address or the directory of --runs is no good; nothing was started
  126  COMMAND can't be executed
  127  COMMAND was not found
"""


@click.command(
    epilog=EPILOG,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--runs",
    "runs_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=RUNS,
    show_default=True,
    help="Where the training makes its run directory; handed to it as TRAINGUARD_RUNS.",
)
@rules_option
@mode_option
@listen_option("127.0.0.1:0")
@token_file_option
@alertmanager_options
@webhook_file_option
@log_format_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    runs_dir: Path,
    rules: Sequence[str],
    mode: "Mode",
    listen: str,
    token_file: Path | None,
    alertmanagers: Sequence[str],
    external_url: str | None,
    webhook_file: Path | None,
    log_format: "LogFormat",
    command: Sequence[str],
) -> None:
    """Run COMMAND with a monitor at its side.

    The monitor is a process of its own. It starts first, sees the training's last record, and ends
    after it. Should it die in between, the training goes on.

    \b
        trainguard run -- python train.py --epochs 10
    """
    from trainguard_monitor.logs import configure
    from trainguard_monitor.recorded.summary import Session
    from trainguard_monitor.sidecar import Sidecar, SidecarError

    configure(log_format, "info", text="trainguard: %(message)s")
    try:
        sidecar = Sidecar.start(
            runs_dir,
            rules=rules,
            mode=mode,
            listen=listen,
            token_file=token_file,
            alertmanagers=alertmanagers,
            external_url=external_url,
            webhook_file=webhook_file,
            log_format=log_format,
        )
    except SidecarError as error:
        raise Fault(str(error)) from None
    try:
        session = Session(runs_dir, time.time())
        log.info("watching %s%s, status page at http://%s/", runs_dir, in_mode(mode), sidecar.address)
        code = _train(command, runs_dir, sidecar)
    finally:
        sidecar.stop()
    _summarise(session, runs_dir)
    context.exit(code)


def _train(command: Sequence[str], runs_dir: Path, sidecar: "Sidecar") -> int:
    environment = {**os.environ, "TRAINGUARD_RUNS": str(runs_dir.absolute())}
    with _signals_held() as hand_to:
        try:
            training = subprocess.Popen(command, env=environment)
        except FileNotFoundError:
            raise NotFound(f"{command[0]}: command not found") from None
        except OSError as error:
            raise NotExecutable(f"{command[0]}: {error.strerror}") from None
        hand_to(training)
        code = _wait(training, sidecar)
    return code if code >= 0 else SIGNALLED - code


def _wait(training: "subprocess.Popen[bytes]", sidecar: "Sidecar") -> int:
    warned = False
    while True:
        try:
            return training.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if not (warned or sidecar.is_alive()):
                log.warning("warning: the monitor has died; the training goes on without it")
                warned = True


@contextmanager
def _signals_held() -> "Iterator[Callable[[subprocess.Popen[bytes]], None]]":
    """Hold SIGINT and SIGTERM back until there is a process to hand them to, then hand them on.

    A terminal's Ctrl-C is not handed on: the training got it from the terminal.
    """
    held: list[int] = []
    target: list[subprocess.Popen[bytes]] = []

    def forward(signum: int, _: object) -> None:
        if not target:
            held.append(signum)
        elif signum == signal.SIGTERM or not _in_foreground():
            target[0].send_signal(signum)

    def hand_to(training: "subprocess.Popen[bytes]") -> None:
        target.append(training)
        for signum in held:
            training.send_signal(signum)

    before = {signum: signal.signal(signum, forward) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield hand_to
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _summarise(session: "Session", runs_dir: Path) -> None:
    try:
        summaries = session.summaries()
    except OSError as error:
        log.warning("what happened can't be read: %s", error)
        return
    for summary in summaries:
        log.info("%s", summary, extra={"run": summary.run})
    if not summaries:
        log.warning(
            "no run appeared in %s: does the training use trainguard.Guard, with a run_dir under $TRAINGUARD_RUNS?",
            runs_dir,
        )
