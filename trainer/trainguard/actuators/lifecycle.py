"""Actions on the run as a whole."""

from trainguard.actuators.base import Done, Params, Refused
from trainguard.checkpoints.base import Checkpoints
from trainguard.exchange.pausing import Pausing
from trainguard.faults import describe
from trainguard.progress import Progress

DAY = 86400.0


class Stop:
    """``stop {}``: save a checkpoint where the run keeps some, then ask the loop to end (``guard.stopped``)."""

    kind = "stop"

    def __init__(self, checkpointer: Checkpoints | None, pausing: Pausing) -> None:
        self._checkpointer, self._pausing = checkpointer, pausing
        self.stopped = False

    def act(self, params: Params, at: Progress) -> Done:
        params.end()
        self.stopped = True
        self._pausing.end()
        if self._checkpointer is None:
            return Done()
        try:
            self._checkpointer.save_to_disk()
        except Exception as error:  # a full disk must not keep a run from stopping
            return Done(reason=f"stopped without a checkpoint: {describe(error)}")
        return Done()


class Pause:
    """``pause {at_most=3600.0}``: wait at this step boundary for ``resume`` or ``stop``, so many seconds at most."""

    kind = "pause"

    def __init__(self, pausing: Pausing) -> None:
        self._pausing = pausing

    def act(self, params: Params, at: Progress) -> Done:
        at_most = params.number("at_most", 3600.0, above=0.0)
        params.end()
        if at_most > 7 * DAY:
            raise Refused(f"at_most is {at_most:g} s, wanted no more than 7 days")
        self._pausing.begin(at_most)
        return Done()


class Resume:
    """``resume {}``: go on. Acknowledged with how many seconds the run was paused."""

    kind = "resume"

    def __init__(self, pausing: Pausing) -> None:
        self._pausing = pausing

    def act(self, params: Params, at: Progress) -> Done:
        params.end()
        if not self._pausing.is_on:
            raise Refused("the run is not paused")
        return Done(after=self._pausing.end())
