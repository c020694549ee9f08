"""Signals of the gradients, and clipping, which needs the same norm.

`clip_grads_` leaves the gradients bit for bit as ``torch.nn.utils.clip_grad_norm_`` does. On the CPU it looks at
the norm first and does not multiply by 1: that multiplication is most of what clipping a small model costs.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor
from torch.nn import Module

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.norms import GradNorms, alike, grad_norms, grads_of


class Gradients(Sensor):
    """``grad_norm``: L2 norm of all gradients together, before clipping; None where no parameter has one.

    sqrt(sum g^2) over the parameters of the model that have a gradient. NaN or infinite as soon as one gradient
    is. The seed: "gradient magnitude", which must be read before clipping to mean anything.
    """

    name = "gradients"
    signals = every(grad_norm=1)

    def __init__(self, model: Module) -> None:
        self._model = model

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if view.norms is not None:
            return {"grad_norm": view.norms.total}
        grads = grads_of(self._model.parameters())
        return {"grad_norm": grad_norms(grads).total if grads else None}


def clip_grads_(parameters: Iterable[Tensor], max_norm: float) -> GradNorms:
    """Clip in place like ``torch.nn.utils.clip_grad_norm_``; returns the norms before clipping."""
    parameters = list(parameters)
    grads = grads_of(parameters)
    if not grads or grads[0].device.type != "cpu" or grads[0].dtype.itemsize < 4 or not alike(grads):
        return GradNorms(torch.nn.utils.clip_grad_norm_(parameters, max_norm), None)
    with torch.no_grad():
        norms = grad_norms(grads)
        coefficient = max_norm / (norms.total + 1e-6)
        if not coefficient >= 1.0:  # a NaN goes on into the gradients, as it does in torch
            torch._foreach_mul_(grads, coefficient)
    return norms
