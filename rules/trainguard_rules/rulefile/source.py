"""YAML 1.2 as plain data, with the place of every key and value.

``1e-5`` is a number, ``on`` is text, a key given twice is a problem. Aliases are followed, within a bound on
the size of the whole, so that a small file can't become a large one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from trainguard_rules.rulefile.places import Place, in_lines, place_in, place_of
from trainguard_rules.rulefile.problems import Problem

LARGEST_FILE = 1_000_000
MOST_NODES = 50_000

Path = tuple[str | int, ...]

_KNOWN = "tag:yaml.org,2002:"
_HALF = "a surrogate, half a character: write the whole one"


@dataclass
class Document:
    """The data of one file. ``keys`` and ``values`` hold the places by path, ``unread`` the paths of bad values."""

    file: str
    data: Any = None
    lines: list[str] = field(default_factory=list)
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, ScalarNode] = field(default_factory=dict)
    unread: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path, message: str, *, at_key: bool = False, offset: tuple[int, int] | None = None) -> None:
        """Record a problem at a path, or at the nearest place above it that stands in the file.

        ``offset`` is a line and column, from 1, inside a text value. Of a value that could not even be read one problem
        is enough.
        """
        if path not in self.unread:
            place = self._place(path, at_key, offset)
            self.problems.append(Problem(self.file, place.line, place.column, _where(self.data, path) + message))

    def _place(self, path: Path, at_key: bool, offset: tuple[int, int] | None) -> Place:
        if at_key and path in self.keys:
            return self.keys[path]
        if offset is not None and path in self.texts and (inside := place_in(self.lines, self.texts[path], *offset)):
            return inside
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))


def read_document(text: str, file: str) -> Document:
    """Parse; never raises on any text, the problems are in the document."""
    document = Document(file)
    if len(text) > LARGEST_FILE:
        document.problem((), f"file of {len(text)} characters: {LARGEST_FILE} at most")
        return document
    document.lines = in_lines(text)
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(file, line, column, f"not YAML: {error.problem or error.context}"))
    except ReaderError as error:
        before = in_lines(text[: error.position])
        message = f"not YAML: unacceptable character {error.character:#06x}"
        document.problems.append(Problem(file, len(before), len(before[-1]) + 1, message))
    except (YAMLError, RecursionError, ValueError) as error:
        document.problems.append(Problem(file, 1, 1, f"not YAML: {str(error).splitlines()[0] or type(error).__name__}"))
    else:
        if root is not None:
            _Walk(document).read(root)
    return document


class _Walk:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.doubles: list[tuple[Path, Place]] = []
        self.size = 0

    def read(self, root: Node) -> None:
        try:
            self.document.data = self.value(root, ())
        except (_TooLarge, RecursionError):
            self.document.problem((), f"more than {MOST_NODES} values, or nested too deep")
        for path, place in self.doubles:  # said last, when the data tells which rule a path leads to
            message = _where(self.document.data, path) + f"key {path[-1]!r} is given twice"
            self.document.problems.append(Problem(self.document.file, place.line, place.column, message))

    def value(self, node: Node, path: Path) -> Any:
        self.size += 1
        if self.size > MOST_NODES:
            raise _TooLarge
        self.document.values[path] = place_of(node)
        if not str(node.tag).startswith(_KNOWN):
            self._unread(path, f"tag {str(node.tag)!r} means nothing here")
        if isinstance(node, MappingNode):
            return dict(self.items(node, path))
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        self.document.texts[path] = node
        return self.scalar(node, path)

    def items(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            if key in seen:
                self.doubles.append(((*path, key), place_of(key_node)))
                continue
            seen.add(key)
            self.document.keys[(*path, key)] = place_of(key_node)
            if not _is_text(key):
                self.document.problem((*path, key), _HALF, at_key=True)
            yield key, self.value(value_node, (*path, key))
            if isinstance(value_node, ScalarNode) and not value_node.style and not value_node.value:
                self.document.values[(*path, key)] = place_of(key_node)  # nothing stands there

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        """Of what can't be read there is a problem on record, and a value that causes no more of them."""
        text = str(node.value)
        match str(node.tag).rpartition(":")[2]:
            case "int" | "float" as kind:
                try:
                    return _number(text, whole=kind == "int")
                except ValueError as error:
                    self._unread(path, f"{_cut(text)} {error}")
                    return 1
            case "bool":
                if text.lower() not in ("true", "false"):
                    self._unread(path, f"{_cut(text)} is neither true nor false")
                return text.lower() == "true"
            case "null":
                return None
        if not _is_text(text):
            self._unread(path, _HALF)
            return ""
        return text

    def _unread(self, path: Path, message: str) -> None:
        self.document.problem(path, message)
        self.document.unread.add(path)


class _TooLarge(Exception):
    pass


def _number(text: str, *, whole: bool) -> int | float:
    """Raises ValueError, saying what is wrong with the text."""
    digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
    if whole and (bare := digits.lstrip("+-")).isdecimal() and bare[0] == "0" and len(bare) > 1:
        raise ValueError("begins with a 0: write it without")
    try:
        value = int(digits, 0) if whole else float(digits)
        float(value)
    except OverflowError:
        raise ValueError("is too large") from None
    except ValueError:
        raise ValueError("is not a number") from None
    return value


def _is_text(text: str) -> bool:
    """Whether it can be written down: an escape may stand for half a character."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _where(data: Any, path: Path) -> str:
    """``group "stability", rule "LossSpike": `` as far as the path leads into a group and a rule."""
    named = []
    for i, (key, what, names) in enumerate((("groups", "group", ("name",)), ("rules", "rule", ("guard", "expect")))):
        if len(path) < 2 * i + 2 or path[2 * i] != key or not isinstance(path[2 * i + 1], int):
            break
        index = path[2 * i + 1]
        try:
            data = data[key][index]
            label = next((f'"{data[n]}"' for n in names if isinstance(data.get(n), str)), str(int(index) + 1))
        except (KeyError, IndexError, TypeError, AttributeError):
            break
        named.append(f"{what} {label}")
    return ", ".join(named) + ": " if named else ""
