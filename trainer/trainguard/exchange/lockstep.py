"""Lockstep: before training goes on, a monitor in another process has judged everything this one has said.

A daemon judges a step some milliseconds after it was made, when the next may be over already, so that a run with
interventions is not exactly the same twice. In lockstep the trainer waits for the verdict: the monitor writes a
`Judged` behind whatever it had to say. When an intervention was carried out, its acknowledgements are judged too
before the next step, which is what an embedded monitor does: both come to the same run.

A verdict that does not come in time is not waited for any longer, and after `PATIENCE` of those in a row none is,
until the monitor is heard again. So a monitor that died costs the training a few deadlines and no more.
"""

from time import sleep

from trainguard.clock import Clock
from trainguard.exchange.emitter import Emitter
from trainguard.exchange.inbox import ControlSource
from trainguard.faults import Faults
from trainguard_wire import Control, Judged

PATIENCE = 3
SPIN_SECONDS = 0.002
PAUSE_SECONDS = 0.0005


class Lockstep:
    """Control, read from ``source`` as far as the verdict on all that ``emitter`` wrote.

    Verdicts of an older ``generation`` than the one the process opened are about a process before it.
    """

    def __init__(
        self, source: ControlSource, seconds: float, generation: int, *, emitter: Emitter, clock: Clock, faults: Faults
    ) -> None:
        self._source, self._seconds, self._generation = source, seconds, generation
        self._emitter, self._clock, self._faults = emitter, clock, faults
        self._judged = 0
        self._missed = 0

    def read(self) -> list[Control]:
        """What came since the last call, waiting until all records are judged or the time is up."""
        wanted = self._emitter.written
        messages = self._receive()
        if self._judged >= wanted or self._missed >= PATIENCE:
            return messages
        began = self._clock.ticks()
        while (waited := self._clock.ticks() - began) < self._seconds:
            sleep(0 if waited < SPIN_SECONDS else PAUSE_SECONDS)
            messages += self._receive()
            if self._judged >= wanted:
                return messages
        self._missed += 1
        self._faults.note("lockstep", f"no verdict within {self._seconds:g} s; is a monitor running?")
        return messages

    def _receive(self) -> list[Control]:
        messages: list[Control] = []
        while more := self._source.read():
            for message in more:
                if not isinstance(message, Judged):
                    messages.append(message)
                elif message.generation >= self._generation:
                    self._judged, self._missed = message.records, 0
        return messages
