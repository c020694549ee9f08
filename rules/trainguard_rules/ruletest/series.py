"""Series in promtool's expanding notation: items apart by blanks, each one or several samples.

::

    a        one sample
    axn      a, and n samples more like it:      1x3    is  1 1 1 1
    a+bxn    a, and n samples more, each b up:   1+2x3  is  1 3 5 7
    a-bxn    a, and n samples more, each b down: 5-1x3  is  5 4 3 2
    _        no sample at this step
    _xn      no sample at n steps

So ``1x20`` gives 21 samples, as it does in promtool, and ``_x20`` leaves out 20. Beside numbers there are
``nan``, ``inf`` and ``-inf``, also with ``xn``.
"""

import re
from collections.abc import Iterator

MOST_SAMPLES = 1_000_000

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_ITEM = re.compile(
    rf"(?:_|(?P<first>[+-]?(?:{_NUMBER}|(?i:nan|inf)))(?:(?P<rise>[+-]{_NUMBER})(?=x))?)(?:x(?P<more>\d{{1,9}}))?"
)


class SeriesError(ValueError):
    """A series that can't be read. The message names the item, ``offset`` says where in the text it begins."""

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


def expand(text: str) -> list[float | None]:
    """The samples of a series, None where there is none. Raises `SeriesError`."""
    samples: list[float | None] = []
    for item in re.finditer(r"\S+", text):
        match = _ITEM.fullmatch(item[0])
        if match is None:
            raise SeriesError(f"{item[0]!r} is no item of a series{_hint(item[0])}", item.start())
        if len(samples) + int(match["more"] or 0) >= MOST_SAMPLES:
            raise SeriesError(f"{item[0]!r}: a series has {MOST_SAMPLES} samples at most", item.start())
        samples += _samples(match)
    if not samples:
        raise SeriesError("the series is empty", 0)
    return samples


def _samples(match: "re.Match[str]") -> Iterator[float | None]:
    more = int(match["more"] or 0)
    if match["first"] is None:
        return iter([None] * (more if match["more"] else 1))
    first, rise = float(match["first"]), float(match["rise"] or 0)
    if not rise:
        return iter([first] * (more + 1))
    return (first + rise * n for n in range(more + 1))


def _hint(item: str) -> str:
    if item == "stale":
        return ": a step without a sample is '_'"
    if item == "x" or item.startswith("x"):
        return ": there is no blank before the 'x'"
    return ": write a, axn, a+bxn, a-bxn, _ or _xn, where a may be nan, inf or -inf"
