"""Norms of gradients, of each and of all together, in one pass."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class GradNorms(NamedTuple):
    """L2 norms: of all gradients together, 0-d, and of each of them, one-dimensional, in the order of parameters.

    ``each`` is None where clipping left no trace of it.
    """

    total: Tensor
    each: Tensor | None


def grads_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are, in the order of the parameters."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def grad_norms(grads: list[Tensor]) -> GradNorms:
    """On the device of the first of at least one gradient; of any devices, types and layouts.

    Gradients of 16 bits are summed up in 32. NaN or infinite as soon as one element is.
    """
    if alike(grads):
        norms = torch.stack(torch._foreach_norm(grads, 2.0, dtype=_wide(grads[0].dtype)))
    else:
        norms = torch.stack([_norm(grad).to(grads[0].device) for grad in grads])
    return GradNorms(torch.linalg.vector_norm(norms), norms)


def alike(grads: list[Tensor]) -> bool:
    """Whether one fused kernel can take them all: plain dense tensors of one device and type."""
    device, dtype = grads[0].device, grads[0].dtype
    return all(
        type(grad) is Tensor and grad.dtype is dtype and grad.layout is torch.strided and grad.device == device
        for grad in grads
    )


def _norm(grad: Tensor) -> Tensor:
    if grad.layout is torch.sparse_coo:
        grad = grad.coalesce().values()
    norm: Tensor = torch.linalg.vector_norm(grad, dtype=_wide(grad.dtype))
    return norm.to(torch.float32)


def _wide(dtype: torch.dtype) -> torch.dtype | None:
    """The type to sum up in, where it is not the type itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else None
