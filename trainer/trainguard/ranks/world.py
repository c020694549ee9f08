"""Which of how many processes this is, as ``torch.distributed`` knows it when the guard is made.

A guard that is made before ``init_process_group`` knows of no other rank. It is warned of where the launcher says that
there are some, and once they are there it obeys no more: what one rank does alone makes its replica another one.
"""

import logging
import os

import torch.distributed as dist

TOO_EARLY = (
    "the guard was made before init_process_group: this process counts as a run of its own, and nothing is acted upon."
    " Make it on every rank, after init_process_group"
)

logger = logging.getLogger("trainguard")


def rank() -> int:
    return int(dist.get_rank()) if _initialized() else 0


def num_ranks() -> int:
    return int(dist.get_world_size()) if _initialized() else 1


def warn_of_ranks_to_come() -> None:
    """Where the environment has a ``WORLD_SIZE`` above 1, as torchrun sets it, and torch knows of no ranks yet."""
    size = os.environ.get("WORLD_SIZE", "1")
    if dist.is_available() and not dist.is_initialized() and size.isdecimal() and int(size) > 1:
        logger.warning(
            "WORLD_SIZE is %s, but torch.distributed is not initialized: each process counts as a run of its own. Where"
            " they train one model, make the guard after init_process_group",
            size,
        )


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
