"""The ratio of a gradient to what gradients were lately: what warns first of a loss spike.

Where the running second moment of the gradients lags behind, an adaptive optimizer takes steps that are too large;
the ratio rises 1 to 8 steps before the loss does (Wortsman et al., arXiv 2304.13013). The guard keeps a second
moment of its own, so the ratio is there for any optimizer.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.sampling import sample_of
from trainguard.signals.weights import trained


class RmsRatio(Sensor):
    """``rms_ratio``: the largest, over parameter tensors, of sqrt(mean(g^2 / v)), v the running mean of g^2.

    Tensors with at least two axes are looked at (all, where there are none such): over the few elements of a bias
    the mean is mostly noise. Of each, at most 4,096 elements in a regular sample.

    v has the decay ``beta`` per step, Adam's default, and takes the step's own g^2 in before the ratio is taken, as
    in the paper; measured every n steps, its decay is beta^n, so that it looks back as far. Its start at zero is
    corrected as Adam corrects it. The ratio is 1 in the first measurement, near 1 while gradients keep their size,
    and at most 1 / sqrt(1 - beta^n): 32 for n = 1, 10 for n = 10, 3.2 for n = 100.

    A missing gradient counts as zero, and so does a sparse one. Elements whose gradients were all zero add nothing.
    Gradients below 1e-19 vanish when squared. A NaN or infinite gradient makes the ratio so, and v does not learn
    it. When other parameters begin to train, v starts anew.
    """

    name = "rms_ratio"
    signals = every(rms_ratio=10)
    beta = 0.999
    sample_limit = 1 << 12

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters: list[Tensor] = []
        self._moment: Tensor | None = None
        self._weight = 0.0
        self._last_step = 0

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        parameters = matrices(self._model)
        if not parameters:
            return {}
        if self._moment is None or list(map(id, parameters)) != list(map(id, self._parameters)):
            self._parameters, self._moment, self._weight = parameters, None, 0.0
        samples = [self._sample(parameter) for parameter in parameters]
        squares = torch.cat([sample.to(samples[0].device, torch.float32) for sample in samples]).square_()
        moment = self._learn(squares, max(1, view.step - self._last_step))
        self._last_step = view.step
        ratios = squares.mul_(self._weight).div_(moment.clamp(min=torch.finfo(torch.float32).tiny))
        means = torch.stack([part.mean() for part in ratios.split_with_sizes([sample.numel() for sample in samples])])
        return {"rms_ratio": means.amax().sqrt()}

    def _sample(self, parameter: Tensor) -> Tensor:
        grad = parameter.grad
        if grad is None or grad.layout is not torch.strided:
            grad = torch.zeros((), device=parameter.device).expand(parameter.shape)
        return sample_of(grad, self.sample_limit)

    def _learn(self, squares: Tensor, num_steps: int) -> Tensor:
        """Take the squares into the running mean, those that are finite; ``_weight`` is how much of it there is."""
        decay = self.beta**num_steps
        moment = torch.zeros_like(squares) if self._moment is None else self._moment
        learned = torch.lerp(moment, squares, 1.0 - decay)
        self._moment = torch.where(learned.isfinite(), learned, moment)
        self._weight = decay * self._weight + 1.0 - decay
        return self._moment


def matrices(model: nn.Module) -> list[Tensor]:
    """The parameters that train and have at least two axes; all that train, where none has."""
    weights = [weight for weight in trained(model) if weight.numel()]
    return [weight for weight in weights if weight.dim() > 1] or weights
