"""Actions on checkpoints."""

from trainguard.actuators.base import Done, Params, Refused
from trainguard.checkpoints.base import Checkpoints
from trainguard.progress import Progress


class SaveCheckpoint:
    """``save_checkpoint {}``: now, unless the state of this step is saved already. The disk gets it soon after."""

    kind = "save_checkpoint"

    def __init__(self, checkpointer: Checkpoints) -> None:
        self._checkpointer = checkpointer

    def act(self, params: Params, at: Progress) -> Done:
        params.end()
        self._checkpointer.save()
        return Done()


class RestoreCheckpoint:
    """``restore_checkpoint {which: last_good, rewind: none, before_step=None}``: the newest good one before a step.

    What a step computes with goes back. Step, scheduler, hyperparameters, trainguard's own factors and the data
    stream go on, so that the bad batches are not replayed; with ``rewind: full``, scheduler, hyperparameters and
    data go back as well.
    """

    kind = "restore_checkpoint"

    def __init__(self, checkpointer: Checkpoints) -> None:
        self._checkpointer = checkpointer

    def act(self, params: Params, at: Progress) -> Done:
        params.choice("which", "last_good", default="last_good")
        rewind = params.choice("rewind", "none", "full", default="none") == "full"
        before_step = params.whole_or_none("before_step", at_least=0)
        params.end()
        reason = self._checkpointer.why_not_rewind() if rewind else None
        if reason is not None:
            raise Refused(reason)
        restored = self._checkpointer.restore(before_step, rewind=rewind)
        if restored is None:
            older = "" if before_step is None else f" older than step {before_step}"
            position = ", with a position in the data" if rewind else ""
            raise Refused(f"there is no good and undamaged checkpoint{older}{position}")
        return Done(checkpoint=restored, new_generation=True)
