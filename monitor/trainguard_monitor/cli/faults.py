"""How a command ends when it can't do what it was asked to: a message on standard error, and an exit code."""

import click

SIGNALLED = 128


class Fault(click.ClickException):
    """The command line, a file it names, or the address is no good."""

    exit_code = 2


class NotDone(click.ClickException):
    """What was asked for was understood, and not done."""

    exit_code = 1


class Held(Fault):
    """Another monitor has the run, or it has ended."""

    exit_code = 3


class NotExecutable(Fault):
    """The command to run is there, and can't be run."""

    exit_code = 126


class NotFound(Fault):
    """The command to run is not there."""

    exit_code = 127


class Unreachable(Fault):
    """There is no monitor to ask."""

    exit_code = 4


class Pending(click.ClickException):
    """What was asked for may be done yet."""

    exit_code = 5
