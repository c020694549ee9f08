"""Control of all ranks: rank 0 reads it, and all ranks have it at the end of the same, next step."""

from collections.abc import Sequence
from typing import Any

from trainguard.exchange.inbox import ControlSource
from trainguard.ranks.ranks import Ranks
from trainguard_wire import Control, decode_control, encode

CONTROL = "control"


class JointControl:
    """A `ControlSource` on each rank. ``connect`` rank 0 to where control comes from.

    Once the ranks have parted, rank 0 has what comes at once, and what was on its way to all: somebody has to say that
    it can't be done.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._source: ControlSource | None = None
        self._said: list[Control] = []  # and not heard yet
        self._heard: list[Control] = []
        ranks.hear(CONTROL, self._hear)

    def connect(self, source: ControlSource) -> None:
        self._source = source

    def read(self) -> list[Control]:
        if self._heard:
            heard, self._heard = self._heard, []
            return heard
        fresh = [] if self._source is None else _all_of(self._source)
        if not self._ranks.together:
            said, self._said = self._said, []
            return said + fresh
        if fresh:
            self._said += fresh
            self._ranks.say(CONTROL, *[encode(message).decode() for message in fresh])
        return []

    def _hear(self, said: Sequence[Any]) -> None:
        self._said = []
        self._heard += [decode_control(line.encode()) for line in said[0]]


def _all_of(source: ControlSource) -> list[Control]:
    messages: list[Control] = []
    while more := source.read():
        messages += more
    return messages
