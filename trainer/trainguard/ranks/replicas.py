"""Whether the ranks of a run hold replicas of one model, or parts of it."""

import hashlib
import sys
from contextlib import suppress
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainguard.signals.sampling import sample_of_all

SAMPLE = 1 << 14


def sharding_of(model: nn.Module) -> str | None:
    """What of a model is known to be spread over ranks, in words. Modules that nobody imported have made nothing."""
    tensors, fsdp = sys.modules.get("torch.distributed.tensor"), sys.modules.get("torch.distributed.fsdp")
    if tensors is not None:
        for name, parameter in model.named_parameters():
            if isinstance(parameter, tensors.DTensor):
                return f"the parameter {name!r} is a DTensor, of which each rank has a part"
    if fsdp is not None and any(isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules()):
        return "FullyShardedDataParallel gives each rank a part of the parameters"
    return None


def whole(tensor: Tensor) -> Tensor:
    """Of all ranks together. Those that a `DTensor` is spread over have to come here."""
    full: Any = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def fingerprint(model: nn.Module) -> str:
    """The same for replicas: a digest of which parameters there are, and of a sample of their values."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if not is_lazy(parameter)]
    digest = hashlib.sha256(repr([(name, tuple(p.shape), str(p.dtype)) for name, p in named]).encode())
    values: list[Tensor] = [parameter for _, parameter in named if parameter.numel()]
    if values:
        with suppress(RuntimeError, TypeError):  # of a kind that cannot be looked at in this way
            digest.update(sample_of_all(values, SAMPLE).cpu().numpy().tobytes())
    return digest.hexdigest()
