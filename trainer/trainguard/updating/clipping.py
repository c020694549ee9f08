"""Clipping, which needs the norm that is measured anyway.

`clip_grads_` leaves the gradients bit for bit as ``torch.nn.utils.clip_grad_norm_`` does. On the CPU it looks at the
norm first, and does not multiply by 1: that multiplication is most of what clipping a small model costs. On an
accelerator it multiplies in any case, as torch does, because looking would mean waiting.

torch takes the norm of 16-bit gradients in 16 bits, which is coarse and overflows. It clips by that one, so we do;
what is measured is another, summed up in 32 bits. Of gradients of several types or devices torch's own is measured.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainguard.signals.norms import GradNorms, alike, grad_norms, grads_of, wide

_SAFELY, _EPSILON = 0.999, 1e-6  # the second one is torch's


def clip_grads_(parameters: Sequence[Tensor], max_norm: float) -> tuple[Tensor, GradNorms]:
    """Clip in place; returns the norm before as torch has it, and the norms that are measured.

    Sparse gradients, which torch does not clip, are clipped as well.
    """
    grads = grads_of(parameters)
    if grads and alike(grads):
        measured = grad_norms(grads) if wide(grads[0].dtype) else None
        norms = _clip(parameters, grads, max_norm)
    elif any(grad.is_sparse for grad in grads):
        measured = norms = grad_norms(grads)
        for grad in grads:
            grad.mul_(_coefficient(norms.total, max_norm).to(grad.device, grad.dtype))
    else:
        measured = norms = GradNorms(torch.nn.utils.clip_grad_norm_(parameters, max_norm), None)
    return norms.total, measured or norms


def _clip(parameters: Sequence[Tensor], grads: list[Tensor], max_norm: float) -> GradNorms:
    """Gradients that are alike."""
    each = torch.stack(torch._foreach_norm(grads, 2.0))
    total = torch.linalg.vector_norm(each)
    if total.requires_grad:  # of a backward pass that can be differentiated itself
        return GradNorms(torch.nn.utils.clip_grad_norm_(parameters, max_norm), None)
    if not (total.is_cpu and total.item() + _EPSILON < _SAFELY * max_norm):
        torch._foreach_mul_(grads, _coefficient(total, max_norm))
    return GradNorms(total, each)


def _coefficient(norm: Tensor, max_norm: float) -> Tensor:
    """At most 1. That of a NaN is NaN, and goes on into the gradients, as it does in torch."""
    return (max_norm / (norm + _EPSILON)).clamp(max=1.0)
