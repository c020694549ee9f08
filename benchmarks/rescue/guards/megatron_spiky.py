"""Megatron-LM's check for spiky losses: factor 10 over the largest of the first 100, fixed from then on."""

from math import isfinite

from benchmarks.rescue.stopping import Stopper


class MegatronSpiky:
    """At least ten times the largest of the first 100 losses. A loss that is not finite is fatal there as well."""

    def __init__(self) -> None:
        self._seen, self._largest = 0, 0.0

    def fires(self, loss: float) -> bool:
        if not isfinite(loss):
            return True
        if self._seen < 100:
            self._seen, self._largest = self._seen + 1, max(self._largest, abs(loss))
            return False
        return loss >= 10.0 * self._largest


GUARDS = (Stopper("megatron_spiky", lambda training: MegatronSpiky()),)
