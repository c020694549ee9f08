"""Our own failures: counted by what failed, said once each, never raised into the training loop."""

import logging
from contextlib import suppress
from types import TracebackType

logger = logging.getLogger("trainguard")


class Faults:
    """Counts what went wrong. ``counts`` maps what failed to how often."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, what: str, problem: BaseException | str) -> None:
        """Count a failure of ``what``; the first of its kind is logged as a warning."""
        first = what not in self.counts
        self.counts[what] = self.counts.get(what, 0) + 1
        if first:
            self._say(what, problem)

    def around(self, what: str) -> "_Guarded":
        """``with faults.around("telemetry"):`` swallows and notes any `Exception` of the block."""
        return _Guarded(self, what)

    @staticmethod
    def _say(what: str, problem: BaseException | str) -> None:
        trace = problem if isinstance(problem, BaseException) else None
        with suppress(Exception):  # a user's log handler may raise
            logger.warning("%s: %s; training goes on, and this is said once", what, describe(problem))
            logger.debug("%s failed here", what, exc_info=trace)


class _Guarded:
    __slots__ = ("_faults", "_what")

    def __init__(self, faults: Faults, what: str) -> None:
        self._faults, self._what = faults, what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._faults.note(self._what, error)
        return True


def met(value: object) -> str:
    """A value that somebody handed over, and its type, in one short line."""
    return f"{' '.join(repr(value).split()):.60} ({type(value).__name__})"


def describe(problem: BaseException | str) -> str:
    """An error in one short line."""
    if isinstance(problem, str):
        return problem
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}"[:400] if text else type(problem).__name__
