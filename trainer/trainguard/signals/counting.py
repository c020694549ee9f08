"""How many elements of a tensor are small, without waiting for a device.

On the CPU, numpy counts in the tensor's own memory: ``torch.count_nonzero`` on the output of a ReLU is 28 times
slower. On an accelerator the count is a 0-d tensor. Large tensors are gone through in pieces, so that counting
needs little memory of its own.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from trainguard.signals.norms import wide

Count = int | Tensor
_PIECE = 1 << 22


def counts_below(tensor: Tensor, *thresholds: float) -> list[Count]:
    """For each threshold, how many elements have an absolute value below it. A NaN is none of them."""
    counts: list[Count] = [0] * len(thresholds)
    for piece in pieces(tensor):
        array = as_numpy(piece)
        if array is None:
            sizes = piece.to(wide(piece.dtype) or piece.dtype).abs()
            below: Sequence[Count] = [(sizes < limit).sum() for limit in thresholds]
        else:
            below = array_below(np.abs(array), thresholds)
        counts = [count + more for count, more in zip(counts, below, strict=True)]
    return counts


def array_below(sizes: NDArray[np.floating], thresholds: Sequence[float]) -> list[int]:
    """For each threshold, how many of these are below it."""
    return [int(np.count_nonzero(sizes < limit)) for limit in thresholds]


def count_nonfinite(tensors: list[Tensor]) -> Count:
    """Elements that are NaN or infinite, of tensors of any devices, types and layouts."""
    total: Count = 0
    for tensor in tensors:
        values = tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor
        for piece in pieces(values):
            total = add(total, (~torch.isfinite(piece)).sum())
    return total


def add(total: Count, count: Count) -> Count:
    """Their sum, on the device of the total."""
    if isinstance(total, Tensor) and isinstance(count, Tensor):
        count = count.to(total.device, non_blocking=True)
    return total + count


def on_host(value: Tensor) -> float | Tensor:
    """A number on the CPU, where reading it costs nothing; a scalar of an accelerator as it is."""
    return float(value.item()) if value.is_cpu else value.detach()


def as_numpy(tensor: Tensor) -> NDArray[np.floating] | None:
    """The tensor's own memory for numpy; None where it has none that numpy reads fast."""
    plain = type(tensor) in (Tensor, Parameter) and tensor.layout is torch.strided
    if plain and tensor.is_cpu and tensor.dtype in (torch.float32, torch.float64):
        return tensor.detach().numpy()
    return None


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor in parts of a few million elements."""
    if tensor.numel() <= _PIECE or not tensor.is_contiguous():
        yield tensor
    else:
        flat = tensor.view(-1)
        yield from (flat[start : start + _PIECE] for start in range(0, len(flat), _PIECE))
