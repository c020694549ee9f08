"""Where in a file a text value stands, and each of its characters.

YAML cuts indentation, folds lines and takes quotes away, so a place in a value is not one in the file. Line by line the
file is laid beside the value; where that comes out even, every character is found. Where it does not (escapes, lines
that fold in other ways), all that is known is where the value begins.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ruamel.yaml.nodes import Node, ScalarNode

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor, a tag
_LITERAL, _FOLDED, _QUOTES = "|", ">", ("'", '"')


class Place(NamedTuple):
    """Line and column, from 1; of a quoted text, the place after the quote."""

    line: int
    column: int


def in_lines(text: str) -> list[str]:
    """The lines of a file, as YAML counts them."""
    return _BREAK.split(text)


def place_of(node: Node) -> Place:
    """Where a value begins."""
    mark = node.start_mark
    quoted = isinstance(node, ScalarNode) and node.style in _QUOTES
    return Place(mark.line + 1, mark.column + 1 + quoted)


def place_in(lines: Sequence[str], node: ScalarNode, line: int, column: int) -> Place | None:
    """Where the character at this line and column of a value stands; None where that can't be told."""
    above = str(node.value).split("\n")[: line - 1]
    index = sum(len(text) + 1 for text in above) + column - 1
    for begin, end, place in _pieces(lines, node):
        if index <= end:
            return Place(place.line, place.column + index - begin)
    return None


def _pieces(lines: Sequence[str], node: ScalarNode) -> Iterator[tuple[int, int, Place]]:
    """Of each line of a value where it begins and ends in the value, and its place. Ends where the two differ."""
    value, block = str(node.value).rstrip("\n"), node.style in (_LITERAL, _FOLDED)
    joint = "\n" if node.style == _LITERAL else " "
    first = node.start_mark.line + block
    margin = next((_margin(line) for line in lines[first:] if line.strip()), 0) if block else _begin(lines, node)
    at = 0
    for number in range(first, len(lines)):
        line = lines[number]
        begin = margin if block or number == first else _margin(line)
        text, left = line[begin:], len(value) - at
        place = Place(number + 1, begin + 1)
        if len(text) >= left and value.endswith(text[:left]):
            yield at, len(value), place
            return
        if not block:
            text = text.rstrip()
        if not value.startswith(text + joint, at):
            return
        yield at, at + len(text), place
        at += len(text) + 1


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _begin(lines: Sequence[str], node: ScalarNode) -> int:
    """The column, from 0, of the first character of a value that is no block."""
    mark = node.start_mark
    properties = _PROPERTIES.match(lines[mark.line], mark.column)
    return (properties.end() if properties else mark.column) + (node.style in _QUOTES)
