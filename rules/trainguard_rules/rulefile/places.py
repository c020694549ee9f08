"""Where in a file a text value stands, and each of its characters.

YAML cuts indentation, folds lines and takes quotes away, so a place in a value is not one in the file. Line by line the
file is laid beside the value; where that comes out even, every character is found. Where it does not (escapes, lines
that fold in other ways), all that is known is where the value begins.
"""

import re
from collections.abc import Sequence
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
    found = None
    for begin, place in _pieces(lines, node):
        if begin > index:
            break
        found = Place(place.line, place.column + index - begin)
    return found


def _pieces(lines: Sequence[str], node: ScalarNode) -> list[tuple[int, Place]]:
    """For each line of a value, the index of its first character in the value, and its place. Empty if unknown."""
    value, block = str(node.value).rstrip("\n"), node.style in (_LITERAL, _FOLDED)
    joint = "\n" if node.style == _LITERAL else " "
    number, column = node.start_mark.line + block, 0 if block else _begin(lines, node)
    indent = None if block else column
    pieces: list[tuple[int, Place]] = []
    at = 0
    while number < len(lines):
        line = lines[number]
        if indent is None and line.strip():
            indent = len(line) - len(line.lstrip())
        begin = (indent or 0) if block or not pieces else len(line) - len(line.lstrip())
        text, rest = line[begin:], value[at:]
        pieces.append((at, Place(number + 1, begin + 1)))
        if text.startswith(rest):
            return pieces
        if not block:
            text = text.rstrip()
        if not rest.startswith(text + joint):
            return []
        at += len(text) + 1
        number += 1
    return []


def _begin(lines: Sequence[str], node: ScalarNode) -> int:
    """The column, from 0, of the first character of a value that is no block."""
    mark = node.start_mark
    properties = _PROPERTIES.match(lines[mark.line], mark.column)
    return (properties.end() if properties else mark.column) + (node.style in _QUOTES)
