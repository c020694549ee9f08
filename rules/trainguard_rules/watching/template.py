"""Annotation texts with ``{fields}``: checked when the file is loaded, filled in when the rule speaks.

Fields are ``value``, ``step``, ``epoch``, ``rule`` and the rule's signals, with Python's format
specifications for numbers. No attribute, index or conversion is let through.
"""

from collections.abc import Collection, Mapping
from string import Formatter

FIELDS = ("value", "step", "epoch", "rule")


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
        try:
            format("rule" if name == "rule" else 1.0 if name not in ("step", "epoch") else 1, spec or "")
        except ValueError as error:
            return f"field {{{name}:{spec}}} in {text!r}: {error}"
    return ""


def fill(text: str, fields: Mapping[str, float | int | str]) -> str:
    """The text with its fields; ``?`` stands for one that is not known."""
    out = []
    for literal, name, spec, _ in Formatter().parse(text):
        out.append(literal)
        if name is not None:
            out.append(format(fields[name], spec or "") if name in fields else "?")
    return "".join(out)
