"""A sliding window in sorted order, to be read at any rank.

A sorted list is quick to search, but each change moves half of it in memory, which outweighs all the rest
from some thousand samples on. So the order is cut into blocks of at most `BLOCK` values, and a change moves
part of one block. A block that outgrows `BLOCK` is cut in two, an empty one dropped, and when that has left
many small ones, all are dealt anew. Below `BLOCK` samples there is one block: a plain list.

Nobody counts what lies before each block, since that changes for many at once. A `Finger` counts it for the
one block that it is at, and finds other ranks by walking from there; what a statistic asks for hardly moves.

``sortedcontainers`` does all this for sets of any kind and size, and takes about twice as long.
"""

from bisect import bisect_left, insort
from itertools import chain

BLOCK = 256
INF = float("inf")


class Finger:
    """A place in a sorted window: ``before`` values lie in the blocks before number ``block``."""

    __slots__ = ("_blocks", "before", "block")

    def __init__(self, blocks: list[list[float]]) -> None:
        self._blocks = blocks
        self.block = self.before = 0

    def pair(self, rank: int) -> tuple[float, float]:
        """The values of this rank and of the next."""
        block = self._blocks[self.block]
        k = rank - self.before
        if k < 0 or k >= len(block):
            block = self._walk(rank)
            k = rank - self.before
        return block[k], block[k + 1] if k + 1 < len(block) else self._blocks[self.block + 1][0]

    def _walk(self, rank: int) -> list[float]:
        blocks, b, before = self._blocks, self.block, self.before
        while rank < before:
            b -= 1
            before -= len(blocks[b])
        while rank >= before + len(blocks[b]):
            before += len(blocks[b])
            b += 1
        self.block, self.before = b, before
        return blocks[b]


class SortedWindow:
    """A multiset of floats between two sentinels: rank 0 is minus infinity, then come the values from rank 1
    on, then plus infinity. Equal values are interchangeable, so keep -0.0 out.
    """

    def __init__(self) -> None:
        self.blocks: list[list[float]] = [[-INF, INF]]
        self._lasts = [INF]
        self._fingers: list[Finger] = []

    def finger(self) -> Finger:
        self._fingers.append(Finger(self.blocks))
        return self._fingers[-1]

    def fill(self, values: list[float]) -> None:
        self._deal([-INF, *sorted(values), INF])

    def add(self, x: float) -> None:
        j = bisect_left(self._lasts, x)
        insort(self.blocks[j], x)
        for finger in self._fingers:
            finger.before += j < finger.block
        if len(self.blocks[j]) > BLOCK:
            self._balance()

    def replace(self, old: float, new: float) -> None:
        """Take out ``old``, which is there, and put in ``new``."""
        blocks, lasts = self.blocks, self._lasts
        if len(blocks) == 1:  # its last value is the sentinel, and no finger has to move
            block = blocks[0]
            del block[bisect_left(block, old)]
            insort(block, new)
            return
        i = bisect_left(lasts, old)
        block = blocks[i]
        del block[bisect_left(block, old)]
        j = bisect_left(lasts, new)
        if i == j:
            insort(block, new)
            lasts[i] = block[-1]
            return
        gainer = blocks[j]
        insort(gainer, new)
        for finger in self._fingers:
            finger.before += (j < finger.block) - (i < finger.block)
        if block and len(gainer) <= BLOCK:
            lasts[i] = block[-1]  # that of the gainer is still its last
        else:
            self._balance()

    def _balance(self) -> None:
        """Cut blocks that are too long, drop empty ones."""
        blocks: list[list[float]] = []
        for block in self.blocks:
            if len(block) > BLOCK:
                half = len(block) // 2
                blocks += block[:half], block[half:]
            elif block:
                blocks.append(block)
        if len(blocks) > 4 + 4 * sum(map(len, blocks)) // BLOCK:
            self._deal(list(chain.from_iterable(blocks)))
        else:
            self._place(blocks)

    def _deal(self, ordered: list[float]) -> None:
        size = BLOCK if len(ordered) <= BLOCK else BLOCK * 3 // 4
        self._place([ordered[k : k + size] for k in range(0, len(ordered), size)])

    def _place(self, blocks: list[list[float]]) -> None:
        self.blocks[:] = blocks
        self._lasts = [block[-1] for block in blocks]
        for finger in self._fingers:
            finger.block = finger.before = 0
