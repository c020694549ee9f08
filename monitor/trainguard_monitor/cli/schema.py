"""``trainguard schema``: the JSON Schema of rule files."""

import click

EPILOG = """\b
Exit codes:
  0  the schema is on standard output
"""


@click.command(epilog=EPILOG)
def schema() -> None:
    """Print the JSON Schema of rule files, for editors.

    With it an editor completes keys and actions, shows what they mean, and marks mistakes of form as
    you type. What it can't know, such as the signals in an expression, trainguard check finds.

    \b
        trainguard schema > trainguard.schema.json
    \b
    Then, at the top of a rule file (VS Code with its YAML extension, and others):
        # yaml-language-server: $schema=trainguard.schema.json
    """
    import json

    from trainguard_rules.rulefile.schema_export import rule_file_schema

    click.echo(json.dumps(rule_file_schema(), indent=2))
