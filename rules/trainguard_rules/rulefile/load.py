"""Rule files to a `RuleBook`. Every problem of every file is found before anything is refused."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from trainguard_rules.rulebook import GOOD_AFTER, RuleBook
from trainguard_rules.rulefile.checking import RuleFile
from trainguard_rules.rulefile.problems import Problem, RuleFileError
from trainguard_rules.rulefile.source import read_document
from trainguard_rules.spelling import did_you_mean


def shipped_packs() -> dict[str, str]:
    """The texts of the packs that come with trainguard, by name: ``stability``, ``published/zclip``..."""
    return dict(_packs_in(resources.files("trainguard_rules") / "packs", ""))


def _packs_in(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _packs_in(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml"), entry.read_text(encoding="utf-8")


def load_rules(sources: Iterable[str | Path]) -> RuleBook:
    """The rules of shipped packs (by bare name, ``stability``) and files (by path), together.

    Raises `RuleFileError` with every problem of all of them.
    """
    texts, problems = {}, []
    for source in map(str, sources):
        try:
            texts[source] = _read(source)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(source, 1, 1, f"can't be read: {getattr(error, 'strerror', None) or error}"))
        except LookupError as error:
            problems.append(Problem(source, 1, 1, str(error.args[0])))
    return _load(texts, problems)


def load_text(text: str, file: str = "<text>") -> RuleBook:
    """The rules of one text. Raises `RuleFileError`."""
    return _load({file: text}, [])


def _read(source: str) -> str:
    packs = shipped_packs()
    if source in packs:
        return packs[source]
    path = Path(source)
    if not path.suffix and not path.exists():
        hint = did_you_mean(source, packs)
        raise LookupError(
            f"no such file, and no shipped pack of this name (there are {', '.join(sorted(packs))}){hint}"
        )
    return path.read_text(encoding="utf-8")


def _load(texts: Mapping[str, str], problems: list[Problem]) -> RuleBook:
    files = [RuleFile(read_document(text, name)) for name, text in texts.items()]
    names: dict[str, str] = {}
    for file in files:
        file.check(names)
        problems += file.document.problems
    if problems:
        raise RuleFileError(problems)
    digest = hashlib.sha256()
    for text in texts.values():
        digest.update(f"{len(text)}:{text}".encode())
    return RuleBook(
        rules=tuple(rule for file in files for rule in file.rules),
        expectations=tuple(expectation for file in files for expectation in file.expectations),
        sources=tuple(texts),
        sha256=digest.hexdigest(),
        good_after=max((file.good_after for file in files if file.good_after is not None), default=GOOD_AFTER),
    )
