"""The ratio of a gradient to what gradients were lately: what warns first of a loss spike.

Where the running second moment of the gradients lags behind, an adaptive optimizer takes steps that are too large;
the ratio rises 1 to 8 steps before the loss does (Wortsman et al., arXiv 2304.13013). The guard keeps a second
moment of its own, so the ratio is there for any optimizer.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import as_numpy
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
    it. When other parameters begin to train, v starts anew.
    """

    name = "rms_ratio"
    signals = every(rms_ratio=10)
    beta = 0.999
    sample_limit = 1 << 10

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._seen: tuple[Any, ...] = ()
        self._moment: Any = None
        self._weight = 0.0
        self._last_step = 0

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        parameters = matrices(self._model)
        if not parameters:
            return {}
        with np.errstate(all="ignore"):
            lib, samples = self._samples([_dense_grad(parameter) for parameter in parameters])
            squares = lib.concatenate(samples)
            squares *= squares
            moment = self._learn(lib, squares, (lib, parameters[0].device, *map(id, parameters)), view.step)
            ratios = squares / (moment + _TINY)
            ends = list(accumulate(map(len, samples)))
            means = [ratios[start:end].sum() / (end - start) for start, end in pairwise([0, *ends])]
            if lib is np:
                return {"rms_ratio": float(np.array(means).max() * self._weight) ** 0.5}
            return {"rms_ratio": (torch.stack(means).max() * self._weight).sqrt()}

    def _samples(self, grads: list[Tensor]) -> tuple[Any, list[Any]]:
        """Samples of the gradients, and the library for them: numpy if they are in its reach, else torch.

        What is called of it has the same name in both, and takes numpy a third of the time.
        """
        arrays = [array for grad in grads if (array := as_numpy(grad)) is not None]
        if len(arrays) == len(grads):
            return np, [sample_of(array, self.sample_limit) for array in arrays]
        samples = [sample_of(grad, self.sample_limit) for grad in grads]
        return torch, [sample.to(samples[0].device, torch.float32, non_blocking=True) for sample in samples]

    def _learn(self, lib: Any, squares: Any, of: tuple[Any, ...], step: int) -> Any:
        """Take the squares into the running mean, those that are finite; ``_weight`` is how much of it there is."""
        if of != self._seen:
            self._seen, self._moment, self._weight = of, lib.zeros_like(squares), 0.0
        share = 1.0 - self.beta ** max(1, step - self._last_step)
        self._last_step = step
        learned = self._moment + share * (squares - self._moment)
        self._moment = lib.where(lib.isfinite(learned), learned, self._moment)
        self._weight += share * (1.0 - self._weight)
        return self._moment


_TINY = float(np.finfo(np.float32).tiny)


def _dense_grad(parameter: Tensor) -> Tensor:
    grad = parameter.grad
    if grad is None or grad.layout is not torch.strided:
        return torch.zeros((), device=parameter.device).expand(parameter.shape)
    return grad


def matrices(model: nn.Module) -> list[Tensor]:
    """The parameters that train and have at least two axes; all that train, where none has."""
    weights = [weight for weight in trained(model) if weight.numel()]
    return [weight for weight in weights if weight.dim() > 1] or weights
