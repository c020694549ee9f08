"""``trainguard``: one file per command. Each imports what it needs when it runs, so that help is quick."""

import click

from trainguard_monitor import __version__
from trainguard_monitor.cli.check import check
from trainguard_monitor.cli.demo import demo
from trainguard_monitor.cli.explain import explain
from trainguard_monitor.cli.monitor import monitor
from trainguard_monitor.cli.replay import replay
from trainguard_monitor.cli.run import run
from trainguard_monitor.cli.schema import schema
from trainguard_monitor.cli.test import test


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
    \b
    To understand a rule, check and test rules of your own, and try them on a run you have:
        trainguard explain LossFarAboveBaseline
        trainguard check my_rules.yaml
        trainguard test my_rules.test.yaml
        trainguard replay runs/a --rules my_rules.yaml
    """


main.add_command(run)
main.add_command(monitor)
main.add_command(demo)
main.add_command(check)
main.add_command(test)
main.add_command(replay)
main.add_command(explain)
main.add_command(schema)
