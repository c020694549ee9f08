"""A trainer in lockstep waits for word that its records were judged; this keeps what the word has to say."""

from trainguard_wire import Goodbye, Hello, Judged, RunDirectory, Telemetry


class Lockstep:
    """``on``: the trainer now at work wants to be told. Counts its records."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._records = self._told = 0
        self._last: Telemetry | None = None
        self.on = False

    def see(self, record: Telemetry) -> None:
        """A record is about to be folded. Raises `RunDirectoryError` at a hello without a readable run.json."""
        if isinstance(record, Hello):
            self.on, self._records, self._told = self._run.read_info().lockstep, 0, 0
        elif isinstance(record, Goodbye):
            self.on = False
        self._records += 1
        self._last = record

    def due(self, generation: int) -> Judged | None:
        """What to tell now that all of this is judged, delivered too; None where nobody waits for it."""
        if not self.on or self._last is None or self._records == self._told:
            return None
        return Judged(step=self._last.step, generation=generation, records=self._records)

    def told(self) -> None:
        """It was."""
        self._told = self._records
