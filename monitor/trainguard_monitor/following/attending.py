"""Doing something with one run, whatever comes of it.

What goes wrong with one run is that run's misfortune: it is logged, shown, tried again later, and the others go on.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from trainguard_monitor.following.rota import Post
from trainguard_wire import LeaseHeld, RunDirectoryError, Telemetry

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Attendant:
    """Looks after posts. Raises nothing but what is no `Exception`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic

    def look(self, post: Post, look: Callable[[float], Sequence[Telemetry]], company: int) -> None:
        """Have a look at the telemetry, and settle when to look again; ``company`` is how many posts there are."""
        now = self._monotonic()
        came = self.attempt(post, partial(look, now))
        if came is not None:
            post.complaint = ""
            post.cadence.looked(now, came, post.driver.pace, company=company)

    def attempt(self, post: Post, work: Callable[[], _Result]) -> _Result | None:
        """What comes of the work; None where it fails, which is dealt with here."""
        driver = post.driver
        try:
            return work()
        except LeaseHeld as error:
            self._complain(post, logging.INFO if driver.judges_itself else logging.WARNING, str(error))
            post.cadence.postpone(self._monotonic())
        except (OSError, RunDirectoryError) as error:
            self._give_up(post, error)
        except Exception:
            log.exception(
                "%s: given up; this is a defect of trainguard", driver.run.name, extra={"run": driver.run.name}
            )
            driver.fail()
            post.cadence.never()
        return None

    def _give_up(self, post: Post, error: Exception) -> None:
        """Until later: what stands in the way may go."""
        post.driver.fail()
        hint = "; the monitor has to be allowed to write there" if isinstance(error, PermissionError) else ""
        self._complain(post, logging.ERROR, f"{post.driver.run.name}: can't be followed: {error}{hint}")
        post.cadence.postpone(self._monotonic())

    @staticmethod
    def _complain(post: Post, level: int, text: str) -> None:
        if post.complaint != text:
            log.log(level, "%s", text, extra={"run": post.driver.run.name})
        post.complaint = text
