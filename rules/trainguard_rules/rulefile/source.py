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

from trainguard_rules.rulefile.problems import Problem

LARGEST_FILE = 1_000_000
MOST_NODES = 50_000

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Line and column, from 1; of a quoted text, the place after the quote."""

    line: int
    column: int


@dataclass
class Document:
    """The data of one file. ``keys`` and ``values`` hold the places by path."""

    file: str
    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    block_scalars: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path, message: str, *, at_key: bool = False, offset: tuple[int, int] = (1, 1)) -> None:
        """Record a problem at a path, or at the nearest place above it that stands in the file.

        ``offset`` is a line and column, from 1, inside a text value.
        """
        place = self._place(path, at_key)
        line, column = place.line + offset[0] - 1, offset[1] + (place.column - 1 if offset[0] == 1 else 0)
        self.problems.append(Problem(self.file, line, column, _where(self.data, path) + message))

    def _place(self, path: Path, at_key: bool) -> Place:
        if at_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))


def read_document(text: str, file: str) -> Document:
    """Parse; never raises on any text, the problems are in the document."""
    document = Document(file)
    if len(text) > LARGEST_FILE:
        document.problem((), f"file of {len(text)} characters: {LARGEST_FILE} at most")
        return document
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(file, line, column, f"not YAML: {error.problem or error.context}"))
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
        self.document.values[path] = _place(node)
        if isinstance(node, MappingNode):
            return dict(self.items(node, path))
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        if node.style in ("|", ">"):
            self.document.block_scalars.add(path)
        return self.scalar(node, path)

    def items(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            if key in seen:
                self.doubles.append(((*path, key), _place(key_node)))
                continue
            seen.add(key)
            self.document.keys[(*path, key)] = _place(key_node)
            yield key, self.value(value_node, (*path, key))

    def scalar(self, node: ScalarNode, path: Path) -> Any:
        kind = str(node.tag).rpartition(":")[2]
        text = str(node.value)
        try:
            match kind:
                case "int":
                    return int(text.replace("_", ""), 0)
                case "float":
                    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
                case "bool":
                    return text.lower() == "true"
                case "null":
                    return None
        except ValueError:
            self.document.problem(path, f"{text!r} is not a number")
            return None
        return text


class _TooLarge(Exception):
    pass


def _place(node: Node) -> Place:
    mark = node.start_mark
    quoted = isinstance(node, ScalarNode) and node.style in ("'", '"')
    return Place(mark.line + 1, mark.column + 1 + quoted)


def _where(data: Any, path: Path) -> str:
    """``group "stability", rule "LossSpike": `` as far as the path leads into a group and a rule."""
    named = []
    for i, (key, what, name) in enumerate((("groups", "group", "name"), ("rules", "rule", "guard"))):
        if len(path) < 2 * i + 2 or path[2 * i] != key or not isinstance(path[2 * i + 1], int):
            break
        index = path[2 * i + 1]
        try:
            data = data[key][index]
            label = f'"{data[name]}"' if isinstance(data.get(name), str) else str(int(index) + 1)
        except (KeyError, IndexError, TypeError, AttributeError):
            break
        named.append(f"{what} {label}")
    return ", ".join(named) + ": " if named else ""
