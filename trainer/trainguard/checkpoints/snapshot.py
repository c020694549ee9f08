"""A training state in host memory, as it was at one moment. Taking it is all that a step pays for a checkpoint.

The tensors of one part and one type lie in one buffer, one after the other. A file of few large pieces is written
faster than one of many small ones, and with fewer moments in which the training thread has to wait for Python's
lock. The buffers of a snapshot that nobody needs any more are filled again: memory that was never touched costs
several times what the copy costs.

From CUDA the copies go into pinned memory and are only put into the stream, behind the step just done and before
the next one: the host waits for nothing. `Snapshot.wait` waits, and whoever reads calls it first.
"""

from collections import Counter
from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from trainguard import host_memory
from trainguard.checkpoints.plain import mapped

Layout = tuple[tuple[str, torch.dtype, torch.Size], ...]


class Snapshot:
    """A copy of a plain tree, its tensors on the CPU. What shares memory in the tree shares it in the copy.

    ``spare`` is a snapshot that nobody reads any more; its memory is taken where it fits. Raises what torch raises
    where memory is short.
    """

    def __init__(self, tree: dict[str, Any], spare: "Snapshot | None" = None) -> None:
        sources = _distinct(tree)
        dense = {key: (part, tensor) for key, (part, tensor) in sources.items() if _is_dense(tensor)}
        layout = tuple((part, tensor.dtype, tensor.shape) for part, tensor in dense.values())
        devices = {tensor.device for _, tensor in dense.values() if tensor.is_cuda}
        buffers = spare._buffers if spare is not None else None
        if buffers is None or buffers.layout != layout or buffers.pinned != bool(devices):
            buffers = _Buffers(layout, pinned=bool(devices))
        self._buffers: _Buffers = buffers
        with torch.no_grad():
            for view, (_, tensor) in zip(buffers.views, dense.values(), strict=True):
                view.copy_(tensor, non_blocking=buffers.pinned)
            copies = dict(zip(dense, buffers.views, strict=True))
            copies |= {key: _alone(tensor) for key, (_, tensor) in sources.items() if key not in copies}
        self._events = [_recorded(device) for device in devices]
        self.tree: dict[str, Any] = mapped(tree, lambda tensor: copies[_identity(tensor)])

    def wait(self) -> None:
        """Until the copy is complete. Any thread may call it."""
        for event in self._events:
            event.synchronize()


class _Buffers:
    """Memory for tensors of these shapes; ``views`` are theirs, in order."""

    def __init__(self, layout: Layout, *, pinned: bool) -> None:
        self.layout, self.pinned = layout, pinned
        sizes: Counter[tuple[str, torch.dtype]] = Counter()
        for part, dtype, shape in layout:
            sizes[part, dtype] += prod(shape)
        rest = {key: host_memory.empty((size,), key[1], pinned=pinned) for key, size in sizes.items()}
        self.views: list[Tensor] = []
        for part, dtype, shape in layout:
            flat, size = rest[part, dtype], prod(shape)
            self.views.append(flat[:size].view(shape))
            rest[part, dtype] = flat[size:]


def num_bytes(tree: Any) -> int:
    """How much memory a snapshot of ``tree`` takes."""
    return sum(tensor.nbytes for _, tensor in _distinct(tree).values() if _is_dense(tensor))


def _distinct(tree: dict[str, Any]) -> dict[Any, tuple[str, Tensor]]:
    """The tensors of a tree, each once, with the part that it is found in first."""
    found: dict[Any, tuple[str, Tensor]] = {}
    for part, branch in tree.items():
        for tensor in _tensors(branch):
            found.setdefault(_identity(tensor), (part, tensor))
    return found


def _tensors(tree: Any) -> Iterable[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(item)


def _identity(tensor: Tensor) -> Any:
    """The same for tensors that are the same memory read in the same way, such as tied weights."""
    if not _is_dense(tensor):
        return id(tensor)
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device


def _is_dense(tensor: Tensor) -> bool:
    plain = type(tensor) is Tensor or type(tensor) is nn.Parameter
    return plain and tensor.layout is torch.strided and not tensor.is_quantized


def _alone(tensor: Tensor) -> Tensor:
    """A copy of what cannot lie in a buffer: sparse, quantized, a subclass."""
    return tensor.detach().to("cpu", copy=True)


def _recorded(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
