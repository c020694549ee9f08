"""Actions on the run as a whole."""

from trainguard.actuators.base import Done, Params
from trainguard.checkpoints import Checkpointer
from trainguard.faults import describe
from trainguard.progress import Progress


class Stop:
    """``stop {}``: save a checkpoint where the run keeps some, then ask the loop to end (``guard.stopped``)."""

    kind = "stop"

    def __init__(self, checkpointer: Checkpointer | None) -> None:
        self._checkpointer = checkpointer
        self.stopped = False

    def act(self, params: Params, at: Progress) -> Done:
        params.end()
        self.stopped = True
        if self._checkpointer is None:
            return Done()
        try:
            self._checkpointer.save_to_disk()
        except Exception as error:  # a full disk must not keep a run from stopping
            return Done(reason=f"stopped without a checkpoint: {describe(error)}")
        return Done()
