"""A device whose copies to the host take as long as a test wants."""

from torch import Tensor

from trainguard.faults import Faults
from trainguard.measuring.readout import Copy, Readout


class Slow(Copy):
    """A copy that arrives once ``here`` is set."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor)
        self.here = False

    def has_arrived(self) -> bool:
        return self.here and super().has_arrived()

    def wait(self) -> None:
        super().wait()
        self.here = True


def slow_readout(copies: list[Slow], *, exact: bool = False) -> Readout:
    """A readout whose copies are added to the list as they are queued."""

    def copy(tensor: Tensor) -> Slow:
        copies.append(Slow(tensor))
        return copies[-1]

    return Readout(Faults(), copy, exact=exact)
