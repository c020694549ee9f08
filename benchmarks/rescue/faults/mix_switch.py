"""The data mix changes for good, to data as hard to learn: healthy, though the loss rises for a while."""

from torch import Tensor

from benchmarks.rescue.training import Batch, Fault


class MixSwitch(Fault):
    name = "mix_switch"
    healthy = True

    def batch(self, step: int, x: Tensor, y: Tensor) -> Batch:
        return self.training.switch(x, y) if step >= self.at else (x, y)
