"""``trainguard``: one file per command. Each imports what it needs when it runs, so that help is quick."""

import click

from trainguard_monitor import __version__
from trainguard_monitor.cli.demo import demo
from trainguard_monitor.cli.monitor import monitor
from trainguard_monitor.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trainguard")
def main() -> None:
    """Keep PyTorch training runs healthy.

    Your training script reports its signals through trainguard.Guard; guard rules judge them, and
    act on the live run: halve the learning rate, restore a checkpoint, stop.

    \b
    To train with a monitor at its side:
        trainguard run -- python train.py
    \b
    To see a training being saved:
        trainguard demo
    """


main.add_command(run)
main.add_command(monitor)
main.add_command(demo)
