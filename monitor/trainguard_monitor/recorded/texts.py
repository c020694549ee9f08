"""The rules that a run was judged by, where their texts can still be had.

The journal has the names of the rule files and a digest of their texts, not the texts. They are looked for where they
were.
"""

from trainguard_rules import RuleBook, RuleFileError, load_rules
from trainguard_wire import Opened


def rules_of(opened: Opened) -> RuleBook | None:
    """The rules of a monitor; None where there are no texts of the digest that it wrote down."""
    try:
        book = load_rules(opened.rules.split(", ")).with_mode(opened.mode)
    except RuleFileError:
        return None
    return book if book.sha256 == opened.rules_sha256 else None


def names_of(opened: Opened) -> set[str]:
    """The guards of a monitor. None that is known of where the texts are gone."""
    book = rules_of(opened)
    return set() if book is None else {rule.name for rule in book.rules}
