"""Before the first step: what each rank says of itself, and what follows for all."""

from collections.abc import Iterable, Sequence

from trainguard.progress import Progress
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.readings import JointReadout
from trainguard.ranks.replicas import fingerprint
from trainguard.ranks.rounds import Parted
from trainguard.settings import Settings


def introduce(
    ranks: Ranks,
    settings: Settings,
    readout: JointReadout,
    progress: Progress,
    *,
    names: Iterable[str],
    is_watched: bool,
    checkpoint_every: int | None,
) -> int | None:
    """Steps between two checkpoints, as rank 0 has it, which keeps them. All ranks have to come here.

    They part at once where their parameters are no replicas. Where nobody watches rank 0, rounds would be for nothing.
    """
    words = {
        "names": list(names),
        "generation": progress.generation,
        "watched": is_watched,
        "checkpoint_every": checkpoint_every,
        "fingerprint": None if settings.sharding else fingerprint(settings.model),
    }
    try:
        said = ranks.introduce(words)
    except Parted:
        return checkpoint_every
    progress.generation = said[0]["generation"]
    readout.know(set().union(*(each["names"] for each in said)))
    if settings.sharding is not None:
        ranks.part(settings.sharding)
    for rank, each in enumerate(said):
        if each["fingerprint"] != said[0]["fingerprint"]:
            ranks.part(f"rank {rank} has other parameters than rank 0")
    if not said[0]["watched"]:
        ranks.close()
    every: int | None = said[0]["checkpoint_every"]
    return every


def common(ranks: Ranks, kinds: Sequence[str]) -> Sequence[str]:
    """Of the actions of these kinds, those that all ranks offer. All ranks have to come here."""
    try:
        said = ranks.introduce(list(kinds))
    except Parted:
        return ()
    return [kind for kind in kinds if all(kind in each for each in said)]
