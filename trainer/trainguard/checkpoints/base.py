"""What the rest of the guard wants of whoever keeps the checkpoints, and what that one wants of the training."""

from collections.abc import Mapping
from typing import Any, Protocol


class State(Protocol):
    """A `TrainingState`, or that of several ranks."""

    def capture(self, *, in_loop: bool) -> dict[str, Any]: ...

    def restore(self, saved: Mapping[str, Any], *, rewind: bool = False) -> None: ...

    def why_not_rewind(self) -> str | None: ...


class Readings(Protocol):
    """A `Readout`, or that of several ranks."""

    @property
    def oldest_under_way(self) -> int | None:
        """The step of the oldest reading that has not come out yet; None where there is none."""


class Checkpoints(Protocol):
    """On one rank, or on the first of several, a `Checkpointer`; on the others what follows it."""

    def save(self, *, in_loop: bool = True) -> None:
        """Save the state after the step just done, unless it is saved already. Raises what goes wrong at once."""

    def save_to_disk(self) -> None:
        """`save`, and wait until it is on disk. Raises what goes wrong."""

    def save_quietly(self, *, in_loop: bool = True) -> None:
        """`save`, and count and say what goes wrong.

        ``in_loop``: the loop has begun to iterate over its data. Before, it may yet load another state, so that what is
        saved is told by `report`.
        """

    def save_if_due(self) -> None: ...

    def report(self) -> None:
        """Say what was saved before the loop began: it can load no other state to go on from any more."""

    def promote(self, step: int, generation: int) -> None:
        """Mark a checkpoint good."""

    def disown_latest(self) -> None:
        """The state last saved was none of this run's, as its loop only then loaded the one to go on from."""

    def why_not_rewind(self) -> str | None:
        """What this run lacks for a full rewind; None where it lacks nothing."""

    def restore(self, before_step: int | None, *, rewind: bool = False) -> int | None:
        """Go back to the newest good checkpoint before a step that is whole and fits; returns its step.

        None where there is none. What goes wrong once the state is being written is raised.
        """

    def close(self) -> None: ...
