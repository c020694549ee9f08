"""Whose turn it is: the runs by when they are due, and behind them those whose past is still to be read.

Of those, the ones that were written to lately go first, and take turns: where a monitor starts beside a thousand runs,
the few that are alive are followed soon, and not after all the others.

A thousand runs cost no more to keep than a few: what is due is on top of a heap. An entry of the heap is a promise to
look at a run then or later; that a run is due later, or gone, is found out when its entry comes up.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf

from trainguard_monitor.following.cadence import Cadence
from trainguard_monitor.following.driver import Driver

LATELY = 600.0


class Post:
    """A run under watch. It is ``gone`` when it is watched no more.

    It ``is_lively`` where its trainer wrote in the minutes before it was found.
    """

    def __init__(self, driver: Driver, now: float, ahead: float) -> None:
        """``ahead``: of Unix time."""
        self.driver = driver
        self.is_lively = now - ahead - driver.run.last_written() < LATELY
        self.cadence = Cadence(now, ahead)
        self.complaint = ""
        self.gone = False

    @property
    def is_behind(self) -> bool:
        """Whether its past is still to be read."""
        return not self.driver.is_driven or self.driver.is_catching_up


class Rota:
    """Each post is in here once, or in the hands of whoever took it out: to be `put` back."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Post]] = []
        self._behind: list[tuple[bool, int, Post]] = []
        self._tickets = count()  # of those due at one time, who came first

    @property
    def next_due(self) -> float:
        if self._behind:
            return -inf
        return self._due[0][0] if self._due else inf

    def put(self, post: Post) -> None:
        heappush(self._due, (post.cadence.due, next(self._tickets), post))

    def take(self, now: float) -> Iterator[Post]:
        """Those that are due and not behind, and one of those that are behind."""
        while self._due and self._due[0][0] <= now:
            post = heappop(self._due)[2]
            if post.gone:
                continue
            if post.cadence.due > now:
                self.put(post)
            elif post.is_behind:
                heappush(self._behind, (not post.is_lively, next(self._tickets), post))
            else:
                yield post
        while self._behind:
            post = heappop(self._behind)[2]
            if not post.gone:
                yield post
                return
