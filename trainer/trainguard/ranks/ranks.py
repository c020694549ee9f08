"""The ranks of a run, together as long as they can be. See the head of the folder."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from trainguard.faults import Faults, describe
from trainguard.progress import Progress
from trainguard.ranks.meeting import meet
from trainguard.ranks.rounds import (
    ASKS,
    GATHER,
    HEAD,
    HELLO,
    LEAVE,
    PASS,
    PATIENCE,
    SLOTS,
    STEP,
    TALK,
    VOTE,
    Bytes,
    Parted,
    Rounds,
    Row,
)

ABSENT = np.int64(0x7FF8_0000_0000_0DEF)  # a NaN that no arithmetic makes: no value
FAULTS = "faults"

Hear = Callable[[list[Any]], None]
_T = TypeVar("_T")


class Ranks:
    """This rank among the others.

    ``together``: rounds are made. ``is_leaving``: those that come are the last. ``say`` something under a topic, and at
    the end of the next step all ranks ``hear`` what was said there, by rank. Only what JSON has can be said.
    """

    def __init__(self, rounds: Rounds, progress: Progress, faults: Faults) -> None:
        self._rounds, self._progress, self._faults = rounds, progress, faults
        self.rank, self.size, self.together = rounds.rank, rounds.size, True
        self.why_parted = ""
        self._hearers: dict[str, Hear] = {FAULTS: self._note_elsewhere}
        self._faults_told, self._faults_heard = 0, set[str]()
        self._to_say: dict[str, list[Any]] = {}
        self._letter: dict[str, list[Any]] = {}
        self._cargo = self._no_cargo = no_cargo()
        self._carries = False
        self.is_leaving = False
        self._land: Callable[[Row], None] = lambda rows: None
        self._when_parted: list[Callable[[], object]] = []

    @classmethod
    def join(cls, lockstep: float | None, progress: Progress, faults: Faults) -> "Ranks | None":
        """None, which is noted, where not all ranks come here, or do not find together.

        While rank 0 waits in lockstep, the others wait for rank 0.
        """
        try:
            meet()
            return cls(Rounds(PATIENCE + (lockstep or 0.0)), progress, faults)
        except Parted as parted:
            why = str(parted)
        except Exception as error:
            why = f"no group of all ranks: {describe(error)}"
        faults.note("ranks", f"{why}: rank 0 reports for itself alone, and nothing is acted upon")
        return None

    def hear(self, topic: str, hearer: Hear) -> None:
        self._hearers[topic] = hearer

    def say(self, topic: str, *words: Any) -> None:
        self._to_say.setdefault(topic, []).extend(words)

    def carry(self, land: Callable[[Row], None]) -> None:
        """``land`` gets the cargoes of each round that was loaded with any, one row for each rank."""
        self._land = land

    def load(self, cargo: Row) -> None:
        """Have these numbers, `SLOTS` of them, carried by the next round."""
        self._cargo = cargo

    def when_parted(self, then: Callable[[], object]) -> None:
        self._when_parted.append(then)

    def introduce(self, words: Any) -> list[Any]:
        """What each rank says of itself, by rank, before the first step. Raises `Parted`."""
        return self._exchange(HELLO, words)

    def exchange(self, words: Any) -> list[Any]:
        """What each rank says now, by rank. All ranks have to come here. Raises `Parted`, and is parted then."""
        self.meet()
        return self._exchange(VOTE, words)

    def gather(self, data: bytes) -> list[bytes]:
        """The same for bytes."""
        self.meet()
        return self._go(lambda: self._rounds.talk(GATHER, self._place, data))

    def pass_on(self, data: Bytes) -> Bytes:
        """The same for what rank 0 alone has."""
        self.meet()
        return self._go(lambda: self._rounds.pass_on(PASS, self._place, data))

    def meet(self) -> None:
        """Collect the round that is under way, and talk where a rank asked for it."""
        if not self.together or not self._rounds.is_under_way:
            return
        try:
            rows = self._rounds.land()
            asked, carries = bool(rows[:, ASKS].any()), self._carries
            if carries:
                self._land(rows[:, HEAD:].copy())
            if asked:
                self._listen()
        except Parted as parted:
            self.part(str(parted))
        except Exception as error:
            self.part(describe(error))

    def launch(self) -> None:
        """Begin the round of this step: with what was loaded, and asking for a talk where there is something to say."""
        if not self.together:
            return
        self.meet()
        if self.rank and len(self._faults.counts) != self._faults_told:
            self._tell_faults()
        self._letter, self._to_say = self._to_say, {}
        cargo, self._cargo = self._cargo, self._no_cargo
        self._carries = cargo is not self._no_cargo
        try:
            kind = LEAVE if self.is_leaving else STEP
            self._rounds.launch(kind, self._place, asks=bool(self._letter), cargo=cargo)
        except Parted as parted:
            self.part(str(parted))

    def abandon(self) -> None:
        """End here and now, whatever the others do. They are told, if that takes no longer than a second."""
        if self.together:
            self.is_leaving = True
            with suppress(Parted):
                self._rounds.leave(self._place, seconds=1.0)
            self.part("this rank has ended")

    def close(self) -> None:
        """Make no more rounds, and say nothing. A group that fell apart is left alone: others may still be at it."""
        if self.together:
            self.together = False
            with self._faults.around("ranks"):
                self._rounds.close()

    def part(self, why: str) -> None:
        """From here on each rank for itself."""
        if not self.together:
            return
        self.together, self.why_parted = False, why
        if not self.is_leaving:
            self._faults.note("ranks", f"{why}: rank 0 reports for itself alone, and nothing is acted upon")
        for then in self._when_parted:
            with self._faults.around("ranks"):
                then()

    @property
    def _place(self) -> tuple[int, int]:
        return self._progress.step, self._progress.generation

    def _listen(self) -> None:
        letters = self._exchange(TALK, self._letter)
        for topic in sorted(set().union(*letters)):
            with self._faults.around(f"ranks.{topic}"):
                self._hearers[topic]([letter.get(topic, []) for letter in letters])

    def _tell_faults(self) -> None:
        """What this rank alone would log: the names of what failed since the last time, each once."""
        names = list(self._faults.counts)
        self.say(FAULTS, *names[self._faults_told :])
        self._faults_told = len(names)

    def _note_elsewhere(self, said: list[Any]) -> None:
        """On rank 0, each kind that failed elsewhere only, with the first rank where it did."""
        for rank, names in enumerate(said if self.rank == 0 else ()):
            for name in names:
                if name not in self._faults_heard and name not in self._faults.counts:
                    self._faults_heard.add(name)
                    self._faults.note(f"rank {rank}: {name}", "that rank's own log says more")

    def _exchange(self, kind: int, words: Any) -> list[Any]:
        place = (0, 0) if kind == HELLO else self._place
        letters = self._go(lambda: self._rounds.talk(kind, place, json.dumps(words).encode()))
        return [json.loads(letter) for letter in letters]

    def _go(self, do: Callable[[], _T]) -> _T:
        if not self.together:
            raise Parted(self.why_parted)
        try:
            return do()
        except Parted as parted:
            self.part(str(parted))
            raise


def no_cargo() -> Row:
    """A row without any value."""
    cargo = np.empty(SLOTS)
    cargo.view(np.int64)[:] = ABSENT
    return cargo
