"""Pausing: the one time that training waits, because it was asked to.

It waits at a step boundary until it is told to go on, is stopped, or has waited as long as it was asked to at most: a
monitor that died in the meantime must not hold a run for ever. Of several ranks, rank 0 looks at the clock for all.
While it waits it looks at control and sends heartbeats, and an interrupt from the keyboard gets through as ever.
"""

import logging
from collections.abc import Callable
from math import inf
from time import sleep

from trainguard.clock import Clock
from trainguard.faults import Faults
from trainguard.ranks.ranks import Ranks

LOOK_SECONDS = 0.05
TIME_IS_UP = "pause"

logger = logging.getLogger("trainguard")


class Pausing:
    """``is_on``: the run is to wait at the next step boundary, or waits there."""

    def __init__(self, clock: Clock, faults: Faults, ranks: Ranks | None = None) -> None:
        self._clock, self._faults, self._ranks = clock, faults, ranks
        if ranks is not None:
            ranks.hear(TIME_IS_UP, lambda _: self._give_up())
            ranks.when_parted(self.end)
        self._began = self._until = 0.0
        self.is_on = False

    def begin(self, at_most: float) -> None:
        """For so many seconds from now. A pause that is on already goes on until then."""
        now = self._clock.ticks()
        if not self.is_on:
            self._began = now
            with self._faults.around("pause"):
                logger.warning("training is paused, until it is told to go on, or for %g s at most", at_most)
        self.is_on, self._until = True, now + at_most

    def end(self) -> float:
        """Go on; how many seconds it was."""
        self.is_on = False
        return self._clock.ticks() - self._began

    def wait(self, look: Callable[[], None]) -> bool:
        """As long as the pause is on, calling ``look`` again and again; whether it was on."""
        if not self.is_on:
            return False
        while self.is_on:
            if self._clock.ticks() >= self._until:
                self._time_is_up()
            else:
                sleep(LOOK_SECONDS)
                look()
        return True

    def _time_is_up(self) -> None:
        if self._ranks is None or not self._ranks.together:
            self._give_up()
            return
        self._until = inf  # rank 0 tells all ranks, and they hear it while they look
        if self._ranks.rank == 0:
            self._ranks.say(TIME_IS_UP, True)

    def _give_up(self) -> None:
        if self.is_on:
            self._faults.note("pause", f"nobody ended it within {self.end():g} s")
