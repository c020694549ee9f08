"""The median of a sliding window."""

from bisect import bisect_left, insort

from trainguard_rules.stats.sorted_window import RankStatistic


class Median(RankStatistic):
    """Median of the last ``window`` samples; of an even number, the mean of the two in the middle."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._middle = self.ordered.finger()
        self._blocks = self.ordered.blocks

    def update(self, x: float) -> None:
        samples, blocks = self.samples, self._blocks
        n = len(samples)
        if n < self.window:
            super().update(x)
            return
        # What nearly every update is, said in short: a full window.
        x += 0.0
        half = (n + 1) >> 1
        if len(blocks) == 1:
            (block,) = blocks
            del block[bisect_left(block, samples.popleft())]
            insort(block, x)
        else:
            self.ordered.replace(samples.popleft(), x)
            middle = self._middle
            block = blocks[middle.block]
            half -= middle.before
        samples.append(x)
        if 0 <= half < len(block) - 1:
            self.value = block[half] if n & 1 else block[half] / 2 + block[half + 1] / 2
        else:
            self.value = self.read(n)

    def read(self, n: int) -> float:
        low, high = self._middle.pair((n + 1) >> 1)
        return low if n & 1 else low / 2 + high / 2
