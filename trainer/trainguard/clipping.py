"""Clipping, which needs the norm that is measured anyway.

`clip_grads_` leaves the gradients bit for bit as ``torch.nn.utils.clip_grad_norm_`` does. On the CPU it looks at the
norm first and does not multiply by 1: that multiplication is most of what clipping a small model costs. On an
accelerator it multiplies in any case, as torch does, because looking would mean waiting.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainguard.signals.norms import GradNorms, alike, grad_norms, grads_of


def clip_grads_(parameters: Sequence[Tensor], max_norm: float) -> GradNorms:
    """Clip in place; returns the norms before. Sparse gradients, which torch does not clip, are clipped as well."""
    grads = grads_of(parameters)
    if not grads or not (_simple(grads) or any(grad.is_sparse for grad in grads)):
        return GradNorms(torch.nn.utils.clip_grad_norm_(parameters, max_norm), None)
    with torch.no_grad():
        norms = grad_norms(grads)
        coefficient = max_norm / (norms.total + 1e-6)
        if not (coefficient.is_cpu and coefficient >= 1.0):  # a NaN goes on into the gradients, as it does in torch
            _scale_(grads, coefficient.clamp(max=1.0))
    return norms


def _simple(grads: list[Tensor]) -> bool:
    """Whether `grad_norms` is bit for bit what torch computes: it sums up in 32 bits at least, and torch does not."""
    return grads[0].dtype.itemsize >= 4 and alike(grads)


def _scale_(grads: list[Tensor], coefficient: Tensor) -> None:
    if alike(grads):
        torch._foreach_mul_(grads, coefficient)
        return
    for grad in grads:
        grad.mul_(coefficient.to(grad.device, grad.dtype))
