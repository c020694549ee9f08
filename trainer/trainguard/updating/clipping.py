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

from trainguard.signals.norms import NARROW, GradNorms, alike, grad_norms, grads_of

_SAFELY, _EPSILON = 0.999, 1e-6  # the second one is torch's


def clip_grads_(parameters: Sequence[Tensor], max_norm: float) -> tuple[Tensor, GradNorms]:
    """Clip in place; returns the norm before as torch has it, and the norms that are measured.

    Sparse gradients, which torch does not clip, are clipped as well.
    """
    grads = grads_of(parameters)
    if grads and alike(grads):
        each = torch.stack(torch._foreach_norm(grads, 2.0))
        total = torch.linalg.vector_norm(each)
        if not total.requires_grad:
            norms = grad_norms(grads) if total.dtype in NARROW else GradNorms(total, each)
            if not (total.is_cpu and total.item() + _EPSILON < _SAFELY * max_norm):
                torch._foreach_mul_(grads, _coefficient(total, max_norm))
            return total, norms
    elif any(grad.is_sparse for grad in grads):
        norms = grad_norms(grads)
        for grad in grads:
            grad.mul_(_coefficient(norms.total, max_norm).to(grad.device, grad.dtype))
        return norms.total, norms
    total = torch.nn.utils.clip_grad_norm_(parameters, max_norm)  # also of a backward pass that can be differentiated
    return total, GradNorms(total, None)


def _coefficient(norm: Tensor, max_norm: float) -> Tensor:
    """At most 1. That of a NaN is NaN, and goes on into the gradients, as it does in torch."""
    return (max_norm / (norm + _EPSILON)).clamp(max=1.0)
