"""``trainguard completion``: the script that teaches a shell to complete our commands."""

import click

EPILOG = """\b
Exit codes:
  0  the script is on standard output
  2  the command line is no good
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete what you type.

    Commands, options and their values, names of runs, actions and their parameters are completed.

    \b
    For bash, in ~/.bashrc:
        eval "$(trainguard completion bash)"
    \b
    For zsh, in ~/.zshrc, after compinit:
        eval "$(trainguard completion zsh)"
    \b
    For fish, once:
        trainguard completion fish > ~/.config/fish/completions/trainguard.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "trainguard", "_TRAINGUARD_COMPLETE").source()
    click.echo(script)
