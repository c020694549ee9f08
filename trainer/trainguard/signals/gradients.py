"""Signals of the gradients, and clipping, which needs the same norm.

`clip_grads_` leaves the gradients bit for bit as ``torch.nn.utils.clip_grad_norm_`` does. On the CPU it looks at
the norm first and does not multiply by 1: that multiplication is most of what clipping a small model costs.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Module

from trainguard.signals.base import Signal, StepView, Value


class GradNorm(Signal):
    """L2 norm of all gradients together, before clipping; None where no parameter has one.

    sqrt(sum g^2) over the parameters of the model that have a gradient. NaN or infinite as soon as one gradient
    is. The seed: "gradient magnitude", which must be read before clipping to mean anything.
    """

    name = "grad_norm"

    def __init__(self, model: Module) -> None:
        self._model = model

    def measure(self, view: StepView) -> Value:
        if view.clip_norm is not None:
            return view.clip_norm
        grads = grads_of(self._model.parameters())
        return total_norm(grads) if grads else None


def grads_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def total_norm(grads: list[Tensor]) -> Tensor:
    """L2 norm of all of them together, as a 0-d tensor on the device of the first."""
    if _alike(grads):
        norms = list(torch._foreach_norm(grads, 2.0))
    else:
        norms = [torch.linalg.vector_norm(grad).to(grads[0].device) for grad in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


def clip_grads_(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip in place like ``torch.nn.utils.clip_grad_norm_``; returns the norm before clipping."""
    parameters = list(parameters)
    grads = grads_of(parameters)
    if not grads or grads[0].device.type != "cpu" or not _alike(grads):
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    with torch.no_grad():
        norm = total_norm(grads)
        coefficient = max_norm / (norm + 1e-6)
        if not coefficient >= 1.0:  # a NaN goes on into the gradients, as it does in torch
            torch._foreach_mul_(grads, coefficient)
    return norm


def _alike(grads: list[Tensor]) -> bool:
    """Whether one fused kernel can take them all: plain dense tensors of one device and type."""
    device, dtype = grads[0].device, grads[0].dtype
    return all(
        type(grad) is Tensor and grad.dtype is dtype and grad.layout is torch.strided and grad.device == device
        for grad in grads
    )
