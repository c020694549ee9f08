"""Bad batches: garbage, not-a-number, wrong labels."""

import torch
from torch import Tensor

from benchmarks.rescue.training import Batch, Fault

BURST, SHUFFLED = 12, 60


class CorruptedInputs(Fault):
    """A burst of batches whose inputs are noise of ten times their size, or other symbols, with labels at random."""

    name = "corrupted_inputs"

    def batch(self, step: int, x: Tensor, y: Tensor) -> Batch:
        if not self.at <= step < self.at + BURST:
            return x, y
        order = torch.randperm(y.numel(), generator=self.generator)
        y = y.flatten()[order].view_as(y)
        if not x.is_floating_point():
            return torch.randint(128, x.shape, generator=self.generator), y
        return 10 * x.abs().max() * torch.randn(x.shape, generator=self.generator), y


class NanBatch(Fault):
    """One batch with a NaN in it; where inputs are symbols, a loss of NaN."""

    name = "nan_batch"

    def batch(self, step: int, x: Tensor, y: Tensor) -> Batch:
        if self.is_struck(step) and x.is_floating_point():
            x = x.clone()
            x.view(len(x), -1)[0, 0] = torch.nan
        return x, y

    def loss(self, step: int, loss: Tensor) -> Tensor:
        return loss * torch.nan if self.is_struck(step) else loss

    def is_struck(self, step: int) -> bool:
        return step == self.at


class NanForGood(NanBatch):
    """Every batch from now on."""

    name = "nan_for_good"
    hopeless = True

    def is_struck(self, step: int) -> bool:
        return step >= self.at


class LabelShuffle(Fault):
    """Sixty batches with their labels shuffled."""

    name = "label_shuffle"

    def batch(self, step: int, x: Tensor, y: Tensor) -> Batch:
        if self.at <= step < self.at + SHUFFLED:
            order = torch.randperm(y.numel(), generator=self.generator)
            y = y.flatten()[order].view_as(y)
        return x, y
