"""The ratio of a gradient to what gradients were lately: what warns first of a loss spike.

Where the running second moment of the gradients lags behind, an adaptive optimizer takes steps that are too large;
the ratio rises 1 to 8 steps before the loss does (Wortsman et al., arXiv 2304.13013). The guard keeps a second
moment of its own, so the ratio is there for any optimizer.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from operator import is_

import torch
from torch import Tensor, nn

from trainguard.parameters import Parameters
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import on_host
from trainguard.signals.norms import alike
from trainguard.signals.sampling import sample_of
from trainguard.signals.weights import trained


class RmsRatio(Sensor):
    """``rms_ratio``: the largest, over parameter tensors, of sqrt(mean(g^2 / v)), v the running mean of g^2.

    Tensors with at least two axes are looked at (all, where there are none such): over the few elements of a bias
    the mean is mostly noise. Of each, at most 1,024 elements in a regular sample.

    v has the decay ``beta`` per step, Adam's default, and takes the step's own g^2 in before the ratio is taken, as
    in the paper; measured every n steps, its decay is beta^n, so that it looks back as far. Its start at zero is
    corrected as Adam corrects it. The ratio is 1 in the first measurement, near 1 while gradients keep their size,
    and at most 1 / sqrt(1 - beta^n): 32 for n = 1, 10 for n = 10, 3.2 for n = 100.

    A missing gradient counts as zero, and so does a sparse one. Elements whose gradients were all zero add nothing.
    Gradients below 1e-19 vanish when squared. A NaN or infinite gradient makes the ratio so, and v does not learn
    it. When other parameters begin to train, v starts anew, and so it does in a resumed run: it is in no state.
    """

    name = "rms_ratio"
    signals = every(rms_ratio=10)
    beta = 0.999
    sample_limit = 1 << 10

    def __init__(self, model: nn.Module) -> None:
        self._parameters = Parameters(model)
        self._seen: list[Tensor] = []
        self._moment = torch.zeros(0)
        self._sizes = torch.zeros(0)
        self._owners = torch.zeros(0)
        self._weight = 0.0
        self._last_step = 0
        self._knows_cadence = False

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        parameters = matrices(self._parameters)
        if not parameters:
            return {}
        samples = [sample_of(_dense_grad(parameter), self.sample_limit) for parameter in parameters]
        if not alike(samples):
            samples = [sample.to(samples[0].device, torch.float32, non_blocking=True) for sample in samples]
        squares = torch.cat(samples).float().square()
        if not self._knows(parameters) or self._moment.device != squares.device:
            self._seen = parameters
            self._begin(squares, [sample.numel() for sample in samples])
        return {"rms_ratio": (self._learn(squares, view.step) * self._weight) ** 0.5}

    def _knows(self, parameters: list[Tensor]) -> bool:
        """Whether these are those of the last time."""
        return len(parameters) == len(self._seen) and all(map(is_, parameters, self._seen))

    def _begin(self, squares: Tensor, sizes: list[int]) -> None:
        """With nothing learned yet. ``_owners`` tells of each element which tensor it is of."""
        device = squares.device
        self._moment, self._weight, self._knows_cadence = torch.zeros_like(squares), 0.0, False
        self._sizes = torch.tensor(sizes, dtype=squares.dtype).to(device, non_blocking=True)
        owners = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self._owners = owners.to(device, non_blocking=True)

    def _learn(self, squares: Tensor, step: int) -> float | Tensor:
        """Take the squares into the running mean, those that are finite; ``_weight`` is how much of it there is.

        Returns the largest of the tensors' means of squares over it.
        """
        share = 1.0 - self.beta ** max(1, step - self._last_step)
        self._last_step = step
        if self._weight and not self._knows_cadence:  # the first measurement stands for as many steps as the second
            self._moment *= share / self._weight
            self._weight, self._knows_cadence = share, True
        self._weight += share * (1.0 - self._weight)
        learned = self._moment.lerp(squares, share)
        if squares.is_cpu:
            largest = self._largest(squares / (learned + _TINY))
            if math.isfinite(largest):
                self._moment = learned
                return largest
        self._moment = torch.where(learned.isfinite(), learned, self._moment)
        return self._largest(squares / (self._moment + _TINY))

    def _largest(self, ratios: Tensor) -> float | Tensor:
        """Of their means over each tensor."""
        sums = torch.zeros_like(self._sizes).index_add_(0, self._owners, ratios)
        return on_host((sums / self._sizes).amax())


_TINY = torch.finfo(torch.float32).tiny


def _dense_grad(parameter: Tensor) -> Tensor:
    """Zeros where there is none, or a sparse one. A complex one is two numbers for each, as for Adam."""
    grad = parameter.grad
    if grad is None or grad.layout is not torch.strided:
        shape = (*parameter.shape, 2) if parameter.is_complex() else parameter.shape
        return torch.zeros((), device=parameter.device).expand(shape)
    return torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad


def matrices(parameters: Parameters) -> list[Tensor]:
    """The parameters that train and have at least two axes; all that train, where none has."""
    weights = [weight for weight in trained(parameters) if weight.numel()]
    return [weight for weight in weights if weight.dim() > 1] or weights
