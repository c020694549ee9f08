"""Actions on checkpoints."""

from trainguard.actuators.base import Done, Params, Refused
from trainguard.checkpoints import Checkpointer
from trainguard.progress import Progress


class SaveCheckpoint:
    """``save_checkpoint {}``: now, unless the state of this step is on disk already."""

    kind = "save_checkpoint"

    def __init__(self, checkpointer: Checkpointer) -> None:
        self._checkpointer = checkpointer

    def act(self, params: Params, at: Progress) -> Done:
        params.end()
        self._checkpointer.save()
        return Done()


class RestoreCheckpoint:
    """``restore_checkpoint {which: last_good, before_step=None}``: the newest good one older than ``before_step``.

    Weights, buffers, moments and random states go back; step, scheduler, hyperparameters, trainguard's own
    factors and the data stream go on, so that the bad batches are not replayed.
    """

    kind = "restore_checkpoint"

    def __init__(self, checkpointer: Checkpointer) -> None:
        self._checkpointer = checkpointer

    def act(self, params: Params, at: Progress) -> Done:
        params.choice("which", "last_good", default="last_good")
        before_step = params.whole_or_none("before_step", at_least=0)
        params.end()
        restored = self._checkpointer.restore(before_step)
        if restored is None:
            older = "" if before_step is None else f" older than step {before_step}"
            raise Refused(f"there is no good and undamaged checkpoint{older}")
        return Done(checkpoint=restored, new_generation=True)
