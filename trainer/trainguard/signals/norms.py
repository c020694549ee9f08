"""Norms of many tensors, of each and of all together, in one pass."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

NARROW = (torch.float16, torch.bfloat16)


class GradNorms(NamedTuple):
    """L2 norms: of all gradients together, 0-d, and of each of them, one-dimensional, in the order of parameters.

    ``each`` is None where clipping left no trace of it.
    """

    total: Tensor
    each: Tensor | None


class LayerNorms(NamedTuple):
    """L2 norms by name: those of the gradients of some parameters, one-dimensional, and whose they are."""

    names: Sequence[str]
    norms: Tensor


def grads_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients there are, in the order of the parameters."""
    return [grad for parameter in parameters if (grad := parameter.grad) is not None]


def grad_norms(grads: list[Tensor]) -> GradNorms:
    """On the device of the first of at least one gradient. NaN or infinite as soon as one element is."""
    each = norms(grads)
    return GradNorms(torch.linalg.vector_norm(each), each)


def total_norm(grads: list[Tensor]) -> float | Tensor:
    """The L2 norm of at least one gradient together; a number on the CPU, where that is two kernels less."""
    if not (grads[0].is_cpu and alike(grads)):
        return grad_norms(grads).total
    each = [norm.item() for norm in torch._foreach_norm(grads, 2.0, dtype=wide(grads[0].dtype))]
    return math.sqrt(sum(norm * norm for norm in each))


def norms(tensors: list[Tensor], order: float = 2.0) -> Tensor:
    """The norm of each of at least one tensor, of any devices, types and layouts, on the device of the first.

    Numbers of 16 bits are summed up in 32.
    """
    if alike(tensors):
        return torch.stack(torch._foreach_norm(tensors, order, dtype=wide(tensors[0].dtype)))
    each = [torch.linalg.vector_norm(_dense(t), order, dtype=wide(t.dtype)).float() for t in tensors]
    return torch.stack([norm.to(each[0].device) for norm in each])


def alike(tensors: list[Tensor]) -> bool:
    """Whether one fused kernel can take them all: plain dense tensors of one device and type."""
    first = tensors[0]
    dtype, on_cpu = first.dtype, first.is_cpu
    for tensor in tensors:
        if type(tensor) not in _PLAIN or tensor.dtype is not dtype or tensor.layout is not torch.strided:
            return False
        if not tensor.is_cpu if on_cpu else tensor.device != first.device:
            return False
    return True


_PLAIN = (Tensor, Parameter)


def _dense(tensor: Tensor) -> Tensor:
    """What a sparse tensor holds; an index that comes twice counts as the sum."""
    return tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor


def wide(dtype: torch.dtype) -> torch.dtype | None:
    """The type to compute in, where it is not the type itself: that of 16 bits is float32."""
    return torch.float32 if dtype in NARROW else None
