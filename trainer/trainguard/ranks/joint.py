"""Actions that all ranks carry out, or none.

Each rank acts, and then they tell each other what came of it. Where one has refused or failed, the others take back
what they did, and the action is refused or failed for all, with that rank and its reason. What shows its effect only in
the next step is judged by all ranks there.

Where the ranks part over it, nobody knows what the others made of it, and none of them will act again. Whoever
succeeded keeps what it did, since then those that came as far are alike, and acknowledges what is true of this rank.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from trainguard.actuators import Actuator, Done, Params, Pending, Refused
from trainguard.faults import describe
from trainguard.levers.levers import Levers
from trainguard.progress import Progress
from trainguard.ranks.ranks import Ranks
from trainguard.ranks.rounds import Parted

_T = TypeVar("_T")


class Joint:
    """An actuator of all ranks, made from one that knows only its own."""

    def __init__(self, actuator: Actuator, ranks: Ranks, levers: Levers) -> None:
        self.kind = actuator.kind
        self._actuator, self._ranks, self._levers = actuator, ranks, levers

    def act(self, params: Params, at: Progress) -> Done | Pending:
        if not self._ranks.together:
            raise Refused(_not_together(self._ranks.why_parted))
        (outcome, _), parted = self._agreed(lambda: self._act(params, at), lambda acted: acted[1]())
        if isinstance(outcome, Done):
            return self._apart(outcome, parted)
        pending = outcome
        return Pending(lambda values: self._settle(pending, values), needs_values=pending.needs_values)

    def _act(self, params: Params, at: Progress) -> tuple[Done | Pending, Callable[[], None]]:
        """What comes of it here, and what takes it back."""
        take_back = self._levers.keep()
        return self._actuator.act(params, at), take_back

    def _settle(self, pending: Pending, values: Mapping[str, float]) -> Done:
        return self._apart(*self._agreed(lambda: pending.settle(values)))

    def _apart(self, done: Done, parted: str) -> Done:
        """As it is acknowledged where the ranks parted over it, if they did."""
        if not parted:
            return done
        if self.kind == "pause":  # which ends where ranks part
            raise Refused(_not_together(parted))
        return replace(done, reason="; ".join(filter(None, [done.reason, f"the ranks have parted: {parted}"])))

    def _agreed(self, do: Callable[[], _T], take_back: Callable[[_T], None] = lambda _: None) -> tuple[_T, str]:
        """What comes of it here, where it succeeded everywhere, and why the ranks have parted, if they have.

        Raises this rank's problem, or another's.
        """
        try:
            outcome = do()
        except Parted as parted:
            raise Refused(_not_together(str(parted))) from parted
        except Exception as error:
            with suppress(Parted):
                self._tell(error)
            raise
        try:
            elsewhere = self._tell(None)
        except Parted as parted:
            return outcome, str(parted)
        if elsewhere is not None:
            take_back(outcome)
            raise elsewhere
        return outcome, ""

    def _tell(self, problem: Exception | None) -> Exception | None:
        """Tell the others; returns the first problem of another rank. Raises `Parted`."""
        said = self._ranks.exchange(None if problem is None else _words(problem))
        for rank, words in enumerate(said):
            if words is not None and rank != self._ranks.rank:
                return _problem(rank, **words)
        return None


def _words(problem: Exception) -> dict[str, str]:
    if isinstance(problem, Refused):
        return {"refused": str(problem)}
    return {"failed": describe(problem)}


def _problem(rank: int, *, refused: str | None = None, failed: str | None = None) -> Exception:
    return RuntimeError(f"on rank {rank}: {failed}") if refused is None else Refused(f"rank {rank}: {refused}")


def _not_together(why: str) -> str:
    return f"the ranks are not together any more: {why}"
