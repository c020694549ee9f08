"""Other rules on their way to taking over a run: they catch up with those in force, which go on meanwhile.

What they come to know is what a monitor would that is started with them later (`trainguard_rules.catchup`): the
telemetry from its first record, and what was really decided.
"""

from collections import deque
from collections.abc import Iterable

from trainguard_rules import CatchUp, Engine, RuleBook
from trainguard_wire import Derived, Input, RunDirectory, Telemetry
from trainguard_wire.chain import last_chain

MOST = 500  # records at a time, so that nobody waits long for their turn


class Succession:
    """One rule book catching up on one run, with a reader of its own. ``engine`` is what will be at work."""

    def __init__(self, run: RunDirectory, book: RuleBook) -> None:
        """Read the journal, which has to be complete. Raises `OSError`."""
        self.book = book
        self.engine = Engine(book)
        self._catchup = CatchUp(self.engine, book.sha256, last_chain(run), anew=True)
        self._reader = run.read_telemetry()
        self._read: deque[Telemetry] = deque()

    def learn(self, records: Iterable[Input | Derived]) -> None:
        """What comes in, and what the rules in force make of it."""
        for record in records:
            self._catchup.learn(record)

    def advance(self, records: int) -> bool:
        """Fold in some of the first ``records`` records; True once all of them are. Raises `OSError`."""
        for _ in range(min(MOST, records - self.engine.records)):
            if not self._read:
                self._read.extend(self._reader.read())
            if not self._read:
                return True  # telemetry was lost since; whoever starts later finds no more, either
            self._catchup.feed(self._read.popleft())
        return self.engine.records >= records

    def finish(self) -> None:
        """All is folded in: nothing is hindsight any more."""
        self._catchup.finish()
        self.close()

    def close(self) -> None:
        self._reader.close()
