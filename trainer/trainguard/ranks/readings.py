"""Readings of all ranks, made one: behind the readout, before anybody judges.

A round has a slot for each name (`Slots`). Those that the guards of all ranks know have theirs from the start; one that
`observe` brings is asked for, and waits until all ranks know it, which is two steps later.
"""

from collections import deque
from collections.abc import Iterable

from torch import Tensor

from trainguard.measuring.readout import Numbers, Reading, Readout
from trainguard.progress import Moment
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.rounds import Row
from trainguard.ranks.slots import Slots
from trainguard.signals.base import Measured

NAMES = "names"


class JointReadout:
    """Does what a `Readout` does, for all ranks: their readings come out one step late. Of one rank, once they parted.

    Values from an accelerator must be read one step late, neither sooner nor later, so that all ranks speak of the same
    step: ``readout`` is an exact one. The largest layers are those of this rank.
    """

    def __init__(self, readout: Readout, ranks: Ranks) -> None:
        self._readout, self._ranks = readout, ranks
        self._slots = Slots()
        self._observed: dict[str, Measured] = {}
        self._at: Moment | None = None
        self._without_slot: Numbers = {}
        self._under_way: deque[Reading] = deque()
        self._landed: list[Reading] = []
        ranks.carry(self._land)
        ranks.hear(NAMES, lambda said: self.know(set().union(*said)))

    def know(self, names: Iterable[str]) -> None:
        """Give slots to these names, the same ones on all ranks."""
        self._slots.add(sorted(names))

    @property
    def is_waiting(self) -> bool:
        return self._ranks.together or bool(self._under_way or self._landed) or self._readout.is_waiting

    @property
    def oldest_under_way(self) -> int | None:
        readings = [*self._landed, *self._under_way]
        return readings[0].at.step if readings else self._readout.oldest_under_way

    def submit(self, at: Moment, values: dict[str, Measured]) -> list[Reading]:
        """Hand in what this rank measured in a step. What comes out is complete, and of an earlier step."""
        self._at = at
        observed, self._observed = self._observed, {}
        local = self._readout.submit(at, {**values, **observed} if observed else values)
        if not self._ranks.together:
            return [*self.take(), *local]
        self._load(local, at)
        return self.take()

    def observe(self, at: Moment, values: dict[str, Measured]) -> list[Reading]:
        """To go with the values of the next step. Of two under one name before that, the later."""
        if not self._ranks.together:
            return [*self.take(), *self._readout.observe(at, values)]
        self._at = at
        self._observed |= {name: v.detach().clone() if isinstance(v, Tensor) else v for name, v in values.items()}
        return []

    def take(self) -> list[Reading]:
        """What is complete: once the ranks have parted, also what was under way, as this rank measured it."""
        complete, self._landed = self._landed, []
        if not self._ranks.together:
            complete += self._under_way
            self._under_way.clear()
        return [reading for reading in complete if reading.values or reading.layers]

    def flush(self) -> list[Reading]:
        """All there is. The ranks come together for it one last time."""
        self._ranks.meet()
        left = self._readout.flush()
        if self._at is not None and self._observed:
            left += self._readout.submit(self._at, self._observed)
            left += self._readout.flush()
            self._observed = {}
        if not self._ranks.together:
            return [*self.take(), *left]
        self._ranks.is_leaving = True
        self._ask_for_slots(left)
        self._ranks.launch()
        self._ranks.meet()
        at = left[-1].at if left else self._at
        if at is not None:  # what others have left is told by rank 0, whether or not it has something itself
            self._load(left, at)
        self._ranks.launch()
        self._ranks.meet()
        return self.take()

    def _load(self, local: list[Reading], at: Moment) -> None:
        """Put this rank's readings into the next round: one, but for the end, where what is left becomes one."""
        self._ask_for_slots(local)
        values, layers = self._without_slot, None
        for reading in local:
            at, layers = reading.at, reading.layers or layers
            values = {**values, **reading.values}
        self._without_slot = {name: value for name, value in values.items() if not self._slots.knows(name)}
        self._ranks.load(self._slots.cargo(values))
        self._under_way.append(Reading(at, values, layers))

    def _ask_for_slots(self, local: list[Reading]) -> None:
        names = {name for reading in local for name in reading.values if not self._slots.knows(name)}
        if names := names - self._without_slot.keys():
            self._ranks.say(NAMES, *names)

    def _land(self, rows: Row) -> None:
        own = self._under_way.popleft()
        self._landed.append(own._replace(values=self._slots.reduce(rows, own.values)))
