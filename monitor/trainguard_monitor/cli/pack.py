"""``trainguard pack``: a shipped rule pack as a file to edit."""

import click

from trainguard_monitor.cli.complete import packs
from trainguard_monitor.cli.faults import Fault

EPILOG = """\b
Exit codes:
  0  the pack, or the list of packs, is on standard output
  2  there is no pack of this name
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False, shell_complete=packs)
def pack(name: str | None) -> None:
    """Print a shipped rule pack, as a file to edit.

    Without a NAME all packs are listed, with what each is.

    \b
        trainguard pack
        trainguard pack stability > my_rules.yaml
        trainguard run --rules my_rules.yaml -- python train.py
    """
    from trainguard_rules import shipped_packs
    from trainguard_rules.spelling import did_you_mean

    texts = shipped_packs()
    if name is None:
        click.echo("\n".join(text.partition("\n")[0].removeprefix("# ") for text in texts.values()))
    elif name in texts:
        click.echo(texts[name], nl=False)
    else:
        hint = did_you_mean(name, texts) or f" (there are {', '.join(texts)})"
        raise Fault(f"no shipped pack {name!r}{hint}")
