"""What is wrong with a rule file, where."""

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One mistake. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RuleFileError(ValueError):
    """One or more rule files are wrong. ``str()`` gives every problem, one to a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))
