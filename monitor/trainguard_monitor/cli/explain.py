"""``trainguard explain``: a rule in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import Fault

if TYPE_CHECKING:
    from trainguard_rules import RuleBook

EPILOG = """\b
Exit codes:
  0  the rule was explained
  2  there is no rule of this name, or a rule file is no good
"""


@click.command(epilog=EPILOG)
@click.argument("rule")
@click.option(
    "--rules",
    "sources",
    metavar="PACK_OR_FILE",
    multiple=True,
    help="Where to look: a shipped rule pack by name, or a rule file. Repeat for several. All shipped packs if not "
    "given.",
)
def explain(rule: str, sources: Sequence[str]) -> None:
    """Say in words what a rule does, and what it can do at most.

    RULE is the name of a guard or an expectation.

    \b
        trainguard explain LossFarAboveBaseline
        trainguard explain MyGuard --rules my_rules.yaml
    """
    from trainguard_rules import shipped_packs
    from trainguard_rules.explain import explain

    books = _load(sources or sorted(shipped_packs()))
    found = [text for book in books.values() if (text := explain(rule, book)) is not None]
    if not found:
        raise Fault(_unknown(rule, books))
    click.echo("\n\n".join(found))


def _load(sources: Sequence[str]) -> "dict[str, RuleBook]":
    """Each by itself: packs that are not meant to be used together may share names."""
    from trainguard_rules import RuleFileError, load_rules

    books, problems = {}, []
    for source in sources:
        try:
            books[source] = load_rules([source])
        except RuleFileError as error:
            problems.append(str(error))
    if problems:
        raise Fault("\n".join(problems))
    return books


def _unknown(name: str, books: "dict[str, RuleBook]") -> str:
    from trainguard_rules.spelling import did_you_mean

    names = [rule.name for book in books.values() for rule in book.rules]
    names += [expectation.name for book in books.values() for expectation in book.expectations]
    hint = did_you_mean(name, names) or (f" (there are {', '.join(names)})" if names else "")
    return f"no rule {name!r} in {', '.join(books)}{hint}"
