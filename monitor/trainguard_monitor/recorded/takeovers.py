"""Rules that took the place of others: of what was active then, nobody may ever write that it is over.

Rules that went on go on in the journal, too; whose they are is told by their names (`texts`).
"""

from collections.abc import Collection, Iterable

from trainguard_wire import Opened


class Takeovers:
    """Follows a journal.

    ``newest`` is the record by which the last monitor took the run up, ``carried`` are the rules whose state is of a
    monitor that had other rules, each with the step at which that one's were replaced.
    """

    def __init__(self) -> None:
        self.newest: Opened | None = None
        self.carried: dict[str, int] = {}

    def opened(self, record: Opened, active: Iterable[str], step: int) -> None:
        """A monitor took the run up, at about this step, while these rules were active."""
        if self.newest is None or self.newest.rules_sha256 != record.rules_sha256:
            self.carried = dict.fromkeys(active, step) | self.carried
        self.newest = record

    def heard(self, rule: str) -> None:
        """It changed its state."""
        self.carried.pop(rule, None)

    def ended(self, in_force: Collection[str]) -> dict[str, int]:
        """Those carried that are no more in force. All others go on, and none is carried any more."""
        carried, self.carried = self.carried, {}
        return {rule: step for rule, step in carried.items() if rule not in in_force}
