"""``trainguard``: one file per command. Each imports what it needs when it runs, so that help is quick."""

from pathlib import Path

import click

from trainguard_monitor import __version__
from trainguard_monitor.cli.act import act
from trainguard_monitor.cli.approve import approve
from trainguard_monitor.cli.check import check
from trainguard_monitor.cli.completion import completion
from trainguard_monitor.cli.demo import demo
from trainguard_monitor.cli.explain import explain
from trainguard_monitor.cli.monitor import monitor
from trainguard_monitor.cli.pack import pack
from trainguard_monitor.cli.replay import replay
from trainguard_monitor.cli.report import report
from trainguard_monitor.cli.run import run
from trainguard_monitor.cli.schema import schema
from trainguard_monitor.cli.settings import Configurable, read_settings
from trainguard_monitor.cli.status import status
from trainguard_monitor.cli.test import test

EPILOG = """Each command says in its own help what it does, with an example and its exit codes: trainguard run --help.

Options can also be set in the environment (TRAINGUARD_MONITOR_LISTEN), or in a file, trainguard.toml, with a table
for each command ([monitor], listen = ...). The command line is stronger than the environment, and that than the file.
"""


@click.group(cls=Configurable, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="TRAINGUARD_CONFIG",
    help="Where options are set, one table for each command. trainguard.toml in the working directory if not given.",
)
@click.version_option(__version__, prog_name="trainguard")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Keep PyTorch training runs healthy.

    Your training script reports its signals through trainguard.Guard; guard rules judge them, and
    act on the live run: halve the learning rate, restore a checkpoint, stop.

    \b
    To train with a monitor at its side, and to see how it goes; at first without any rule acting:
        trainguard run --mode observe -- python train.py
        trainguard run -- python train.py
        trainguard status
    \b
    To act on a run by hand, and to answer a rule that asks before it acts:
        trainguard act a scale_lr factor=0.5 --token-file token
        trainguard approve a LossFarAboveBaseline.0.544 --token-file token
    \b
    To tell the story of a run in one HTML file:
        trainguard report runs/a
    \b
    To see a training being saved:
        trainguard demo
    \b
    To understand a rule, check and test rules of your own, and try them on a run you have:
        trainguard explain LossFarAboveBaseline
        trainguard pack stability > my_rules.yaml
        trainguard check my_rules.yaml
        trainguard test my_rules.test.yaml
        trainguard replay runs/a --rules my_rules.yaml
    """
    assert isinstance(context.command, click.Group)
    context.default_map = read_settings(config, context.command)


for command in (
    run,
    monitor,
    status,
    act,
    approve,
    report,
    demo,
    check,
    test,
    replay,
    explain,
    pack,
    schema,
    completion,
):
    main.add_command(command)
