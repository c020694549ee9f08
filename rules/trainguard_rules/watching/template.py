"""Annotation texts with ``{fields}``: checked when the file is loaded, filled in when the rule speaks.

Fields are ``value``, ``step``, ``epoch``, ``rule`` and the rule's signals, with those of Python's format
specifications that make a short text of any number. No attribute, index or conversion is let through.
"""

import re
from collections.abc import Collection, Mapping
from string import Formatter

FIELDS = ("value", "step", "epoch", "rule")
# Fill and alignment, sign, width and precision of two digits at most, grouping, and a type that is no character.
_FORMAT = re.compile(r"(?:.?[<>=^])?[-+ ]?z?#?0?\d{0,2}[,_]?(?:\.\d{1,2})?[abdefgosxABDEFGOSX%]?", re.DOTALL)


def check_template(text: str, signals: Collection[str]) -> str:
    """What is wrong with the text, or ``""``."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return f"text {text!r}: {error}"
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in FIELDS and name not in signals:
            return f"unknown field {{{name}}} in {text!r} (there are {', '.join(FIELDS)} and the signals)"
        if conversion or "{" in (spec or ""):
            return f"field {{{name}}} in {text!r}: only a number format such as {{{name}:.3g}} may follow the name"
        if problem := _format_problem(name, spec or ""):
            return f"field {{{name}:{spec}}} in {text!r}: {problem}"
    return ""


def _format_problem(name: str, spec: str) -> str:
    if not _FORMAT.fullmatch(spec):
        return "write a format such as :.3g, with at most two digits of width and of precision"
    try:
        format("rule" if name == "rule" else 1 if name in ("step", "epoch") else 1.0, spec)
    except ValueError as error:
        return str(error)
    return ""


def fill(text: str, fields: Mapping[str, float | int | str]) -> str:
    """The text with its fields; ``?`` stands for one that is not known."""
    out = []
    for literal, name, spec, _ in Formatter().parse(text):
        out.append(literal)
        if name is not None:
            out.append(format(fields[name], spec or "") if name in fields else "?")
    return "".join(out)
