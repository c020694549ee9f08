"""Which of how many processes this is, as ``torch.distributed`` knows it when the guard is made."""

import torch.distributed as dist


def rank() -> int:
    return int(dist.get_rank()) if _initialized() else 0


def num_ranks() -> int:
    return int(dist.get_world_size()) if _initialized() else 1


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
