"""What the courses are worth.

A run is *rescued* if its validation loss at the end is finite and at most 1.1 times that of the same workload and
seed without a fault; for a change of the data mix, without a guard. A fault is *serious* in a run that nothing
watches if that run is not within that bound. The interval of a share is Wilson's, of 95 %; of a median, the
bootstrap's over runs.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import median
from typing import NamedTuple

from benchmarks.rescue.catalogue import all_faults
from benchmarks.rescue.matrix import Cell, Course

TOLERANCE, Z = 1.1, 1.96
RESAMPLES = 1000


class Share(NamedTuple):
    """``hits`` of ``of``."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else inf

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        p, n = self.value, self.of
        middle, half = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        return (middle - half) / (1 + Z * Z / n), (middle + half) / (1 + Z * Z / n)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One guard over a set of courses. Delays and losses are of the runs with a serious fault.

    ``rescued`` of the runs with a serious fault; ``unharmed`` of those with one that heals by itself; ``false_alarms``:
    interventions on healthy runs, and on faulted ones before the fault; ``disturbed``: healthy runs with any. ``saved``
    are the cells that were rescued, as they are called where nothing watches.
    """

    guard: str
    rescued: Share
    unharmed: Share
    disturbed: Share
    healthy_ok: Share
    false_alarms: int
    delay: float | None
    delay_interval: tuple[float, float] | None
    wasted: float
    loss_ratio: float
    saved: frozenset[Cell]


class Reference:
    """What each course is compared with."""

    def __init__(self, courses: Iterable[Course]) -> None:
        self._final = {course.cell: course.final for course in courses}

    def ratio(self, course: Course) -> float:
        """Final loss over that of the run to compare with; infinite where it broke."""
        cell = course.cell
        fault = "none" if not all_faults()[cell.fault].healthy else cell.fault
        expected = self._final[Cell(cell.workload, fault, "nothing", cell.seed)]
        return course.final / expected if isfinite(course.final) else inf

    def is_serious(self, cell: Cell) -> bool:
        unwatched = cell._replace(guard="nothing")
        plain = self._final[Cell(cell.workload, "none", "nothing", cell.seed)]
        return not all_faults()[cell.fault].healthy and not self._final[unwatched] <= TOLERANCE * plain


def score(guard: str, courses: Sequence[Course], reference: Reference) -> Score:
    own = [course for course in courses if course.cell.guard == guard]
    groups: dict[str, list[Course]] = defaultdict(list)
    for course in own:
        groups[_group(course.cell, reference)].append(course)
    serious, healthy = groups["serious"], groups["healthy"]
    delays = [delay for course in serious if (delay := delay_of(course)) is not None]
    ratios = [reference.ratio(course) for course in serious]
    return Score(
        guard=guard,
        rescued=_within(serious, reference),
        unharmed=_within(groups["slight"], reference),
        disturbed=Share(sum(bool(course.acted) for course in healthy), len(healthy)),
        healthy_ok=_within(healthy, reference),
        false_alarms=sum(len(course.acted) for course in healthy) + sum(map(_early, serious + groups["slight"])),
        delay=median(delays) if delays else None,
        delay_interval=_bootstrap(delays) if delays else None,
        wasted=sum(course.wasted for course in serious) / max(1, len(serious)),
        loss_ratio=median(ratios) if ratios else inf,
        saved=frozenset(c.cell._replace(guard="nothing") for c in serious if is_rescued(c, reference)),
    )


def delay_of(course: Course) -> int | None:
    """Steps from the strike to the first intervention; None where there was none."""
    return next((step - course.struck_at for step in course.acted if step >= course.struck_at), None)


def is_rescued(course: Course, reference: Reference) -> bool:
    return reference.ratio(course) <= TOLERANCE


def _group(cell: Cell, reference: Reference) -> str:
    if all_faults()[cell.fault].healthy:
        return "healthy"
    return "serious" if reference.is_serious(cell) else "slight"


def _within(courses: Sequence[Course], reference: Reference) -> Share:
    return Share(sum(is_rescued(course, reference) for course in courses), len(courses))


def _early(course: Course) -> int:
    return sum(step < course.struck_at for step in course.acted)


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    rng = random.Random(0)
    medians = sorted(median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[RESAMPLES // 40], medians[-1 - RESAMPLES // 40]
