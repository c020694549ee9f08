"""Numbers as JSON can have them, and as people say them."""

from math import isfinite


def number(value: float) -> float | str:
    """A value as JSON can have it: non-finite ones by name, as they travel on the wire."""
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def plural(number: float, noun: str) -> str:
    """The noun, as it goes with so many."""
    return noun if number == 1 else f"{noun}s"
