"""The rules of a run: their text where it can still be had, and what came of each.

Only texts that the run was judged by are shown as its rules (`texts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainguard_monitor.recorded import texts
from trainguard_monitor.report.material import Material
from trainguard_rules import Rule, RuleBook, load_rules
from trainguard_rules.explain import explain
from trainguard_rules.expr.nodes import Signal, walk


@dataclass
class RuleRow:
    """One guard. ``rule`` and ``explained`` are missing where its text is. Counts are over the whole journal."""

    name: str
    rule: Rule | None = None
    explained: str = ""
    fired: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    helped: int = 0
    not_helped: int = 0


@dataclass
class ExpectationRow:
    """What a good run reaches in time; ``word`` is met, missed or waiting."""

    name: str
    expr: str
    within: str
    word: str
    step: int | None
    reason: str


@dataclass
class Rules:
    """``note`` says of the texts what has to be said. ``signals`` are those that each rule looks at."""

    rows: list[RuleRow]
    expectations: list[ExpectationRow]
    sources: tuple[str, ...]
    note: str

    def look_at(self, signal: str) -> set[str]:
        """The rules whose expression names a signal; where texts are missing, none."""
        return {row.name for row in self.rows if row.rule is not None and signal in _names(row.rule)}


def rules_of(material: Material, sources: Sequence[str]) -> Rules:
    """``sources`` are packs and files to take the texts from; none: what the journal names. Raises `RuleFileError`."""
    book, note = _book(material, sources)
    return Rules(
        rows=_rows(material, book),
        expectations=_expectations(material, book),
        sources=() if book is None else book.sources,
        note=note,
    )


def _book(material: Material, sources: Sequence[str]) -> tuple[RuleBook | None, str]:
    digests = {opened.rules_sha256 for opened in material.opened}
    if sources:
        book = load_rules(sources)
        for opened in reversed(material.opened):
            if (judging := book.with_mode(opened.mode)).sha256 == opened.rules_sha256:
                return judging, ""
        return book, "" if not digests else "These are not the texts that the run was judged by."
    if not material.opened:
        return None, "No monitor judged this run."
    newest = material.opened[-1]
    last = texts.rules_of(newest)
    if last is None:
        gone = "whose text as of then is not there any more (--rules says where else it is)"
        return None, f"Judged by {newest.rules}, {gone}."
    return last, "" if len(digests) == 1 else "Other rules were in force before; these are the last."


def _rows(material: Material, book: RuleBook | None) -> list[RuleRow]:
    rows = {rule.name: RuleRow(rule.name, rule) for rule in (() if book is None else book.rules)}
    for name, counts in material.side.counts().items():
        row = rows.setdefault(name, RuleRow(name))
        row.fired = counts["fired"]
        row.verdicts = {verdict: number for verdict, number in counts.items() if verdict != "fired"}
    for (name, helped), number in material.helped.items():
        row = rows.setdefault(name, RuleRow(name))
        row.helped += number if helped else 0
        row.not_helped += 0 if helped else number
    for row in rows.values():
        if row.rule is not None and book is not None:
            row.explained = explain(row.name, book) or ""
    return sorted(rows.values(), key=lambda row: (-row.fired, -sum(row.verdicts.values())))


def _expectations(material: Material, book: RuleBook | None) -> list[ExpectationRow]:
    texts = {e.name: (e.when.source, str(e.within)) for e in (() if book is None else book.expectations)}
    rows = []
    for name in dict.fromkeys([*texts, *material.side.reached]):
        expr, within = texts.get(name, ("", ""))
        reached = material.side.reached.get(name)
        word = "waiting" if reached is None else "met" if reached.met else "missed"
        step, reason = (None, "") if reached is None else (reached.step, reached.reason)
        rows.append(ExpectationRow(name, expr, within, word, step, reason))
    return rows


def _names(rule: Rule) -> set[str]:
    return {node.name for node in walk(rule.when.node) if isinstance(node, Signal)}
