"""Text to Python's own tree, with no warning printed, and no larger than it may be."""

import ast
import re
from typing import NamedTuple

LONGEST_TEXT = 4000
MOST_NODES = 400
DEEPEST = 40

# What Python does not refuse but warns of, to whoever runs it.
_DOUBTFUL = re.compile(r"(?P<glued>(?<!\w)\.?\d[\w.]*?(?:and|else|for|if|in|is|not|or)\b)|(?P<backslash>\\)")
_REASONS = {"glued": "a word needs a blank before it", "backslash": "it is not part of the rule language"}


class ExprProblem(NamedTuple):
    """What is wrong, at which line and column of the expression (both from 1)."""

    line: int
    column: int
    message: str

    def moved(self, before: str) -> "ExprProblem":
        """The same where ``before`` stands before the expression."""
        beside = before.rpartition("\n")[2] if self.line == 1 else ""
        return ExprProblem(self.line + before.count("\n"), self.column + len(beside), self.message)


def read_syntax(text: str) -> ast.expr | ExprProblem:
    """The tree of a text that neither begins nor ends with a blank. Never raises on any text."""
    if doubtful := _DOUBTFUL.search(text):
        reason = _REASONS[str(doubtful.lastgroup)]
        return ExprProblem(1, 1, f"not an expression: {doubtful[0]!r}: {reason}").moved(text[: doubtful.start()])
    try:
        body = ast.parse(text or " ", mode="eval").body
    except SyntaxError as error:
        message = f"not an expression: {error.msg}" if text else "empty expression"
        return ExprProblem(error.lineno or 1, error.offset or 1, message)
    except (ValueError, RecursionError, MemoryError) as error:
        return ExprProblem(1, 1, f"not an expression: {error or type(error).__name__}")
    oversize = _oversize(body)
    return ExprProblem(1, 1, oversize) if oversize else body


def _oversize(body: ast.expr) -> str:
    size, level = 0, [body]
    for _ in range(DEEPEST):
        size += len(level)
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if not level or size > MOST_NODES:
            break
    if size > MOST_NODES:
        return f"expression of more than {MOST_NODES} parts"
    return f"expression nested more than {DEEPEST} deep" if level else ""
