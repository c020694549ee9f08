"""Before the first step: what each rank says of itself, and what follows for all."""

import hashlib
from collections.abc import Iterable, Sequence

from torch import nn

from trainguard.progress import Progress
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.readings import JointReadout
from trainguard.ranks.rounds import Parted


def introduce(
    ranks: Ranks,
    model: nn.Module,
    readout: JointReadout,
    progress: Progress,
    *,
    names: Iterable[str],
    is_watched: bool,
    has_directory: bool,
) -> bool:
    """Whether rank 0 has a directory to keep checkpoints in. All ranks have to come here.

    They part at once where their parameters are no replicas. Where nobody watches rank 0, rounds would be for nothing.
    """
    words = {
        "names": list(names),
        "generation": progress.generation,
        "watched": is_watched,
        "directory": has_directory,
        "layout": layout_of(model),
        "sharded": first_sharded(model),
    }
    try:
        said = ranks.introduce(words)
    except Parted:
        return has_directory
    progress.generation = said[0]["generation"]
    readout.know(set().union(*(each["names"] for each in said)))
    for rank, each in enumerate(said):
        if each["sharded"] is not None:
            ranks.part(f"the parameter {each['sharded']!r} is a DTensor, of which each rank has a part")
        elif each["layout"] != said[0]["layout"]:
            ranks.part(f"rank {rank} has other parameters than rank 0")
    if not said[0]["watched"]:
        ranks.close()
    return bool(said[0]["directory"])


def common(ranks: Ranks, kinds: Sequence[str]) -> Sequence[str]:
    """Of the actions of these kinds, those that all ranks offer. All ranks have to come here."""
    try:
        said = ranks.introduce(list(kinds))
    except Parted:
        return ()
    return [kind for kind in kinds if all(kind in each for each in said)]


def first_sharded(model: nn.Module) -> str | None:
    """The name of a parameter that is spread over ranks."""
    from torch.distributed.tensor import DTensor  # slow to import, and only of use to several ranks

    return next((name for name, parameter in model.named_parameters() if isinstance(parameter, DTensor)), None)


def layout_of(model: nn.Module) -> str:
    """The same for replicas: a digest of what parameters there are."""
    layout = [(name, tuple(p.shape), str(p.dtype)) for name, p in model.named_parameters()]
    return hashlib.sha256(repr(layout).encode()).hexdigest()
