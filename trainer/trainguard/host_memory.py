"""Memory of the host that a device copies into."""

from collections.abc import Sequence

import torch
from torch import Tensor


def empty(shape: Sequence[int], dtype: torch.dtype, *, pinned: bool) -> Tensor:
    """``pinned`` where there is such memory left: a copy into it can be queued, into other memory it is waited for.

    Raises what torch raises where memory is short.
    """
    try:
        return torch.empty(shape, dtype=dtype, pin_memory=pinned)
    except RuntimeError:
        if not pinned:
            raise
        return torch.empty(shape, dtype=dtype)
