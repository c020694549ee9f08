"""Regular samples of tensors, for what would cost too much, in time or memory, of every element.

A sample has the elements at 0, s, 2s, ... of the flattened tensor, the same ones each time and drawn by no random
generator. The stride s has no common factor with usual sizes, so that the sample goes through all rows and columns.
"""

import math

import torch
from torch import Tensor


def sample_of(tensor: Tensor, limit: int) -> Tensor:
    """At most ``limit`` elements of a tensor, one-dimensional: a view of it where it is contiguous."""
    size = tensor.numel()
    stride = stride_for(size, limit)
    if size and tensor.is_contiguous():
        return tensor.as_strided((1 + (size - 1) // stride,), (stride,))
    return tensor.reshape(-1)[::stride]


def sample_of_all(tensors: list[Tensor], limit: int) -> Tensor:
    """At most ``limit`` elements of the concatenation of at least one tensor, as at least float32.

    A complex element is two.
    """
    tensors = [torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor for tensor in tensors]
    stride = stride_for(sum(tensor.numel() for tensor in tensors), limit)
    parts, position = [], 0
    for tensor in tensors:
        parts.append(tensor.detach().reshape(-1)[-position % stride :: stride])
        position += tensor.numel()
    device, dtype = tensors[0].device, torch.promote_types(tensors[0].dtype, torch.float32)
    return torch.cat([part.to(device, dtype, non_blocking=True) for part in parts])


def stride_for(size: int, limit: int) -> int:
    """The smallest stride that leaves at most ``limit`` of ``size`` elements; 1 where all may stay."""
    if size <= limit:
        return 1
    stride = math.ceil(size / limit)
    while math.gcd(stride, 2 * 3 * 5 * 7) > 1:
        stride += 1
    return stride
