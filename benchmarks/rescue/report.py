"""From courses to what can be said of them, half by half, and over the same trainings for every guard.

A guard is compared with another only over trainings that both were in. So a half takes in the *strikes* (a workload,
a fault, a seed) that every guard was run on; which guard lacks how many of the others is told with it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.rescue.catalogue import all_guards, all_workloads, guards_on_request, usual_faults, usual_guards
from benchmarks.rescue.fates import Fate, Tally, tally
from benchmarks.rescue.matrix import Course
from benchmarks.rescue.scores import Reference, Score, Share, is_rescued, score

OURS, UNWATCHED = "stability", "nothing"
Strike = tuple[str, str, int]


@dataclass(frozen=True, kw_only=True)
class Half:
    """The scores over some workloads, the best guard first.

    ``by_fault`` are rescued shares. ``missing``: of each guard, the strikes it was not run on and some other was,
    which are left out for all. ``fates``: what became of trainguard's interventions, guard by guard, and ours fault
    by fault. ``lags``: of those of each guard, the steps from the sample to the effect, in order.
    """

    name: str
    workloads: tuple[str, ...]
    strikes: int
    missing: dict[str, int]
    scores: tuple[Score, ...]
    by_fault: dict[str, dict[str, Share]]
    fates: dict[str, Tally]
    fates_by_fault: dict[str, Tally]
    lags: dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a guard met faults that nobody can mend: runs it ``stopped``, the median of steps ``after`` the strike.

    ``intact``: runs whose weights at the end are as good as those of a run that was rescued.
    """

    guard: str
    stopped: Share
    after: float | None
    intact: Share
    fates: Tally


@dataclass(frozen=True, kw_only=True)
class Findings:
    """``halves``: that not tuned on first; it is the one that counts. ``beside``: the guards on request, and ours."""

    halves: tuple[Half, ...]
    beside: Half | None
    hopeless: tuple[Ending, ...]


def summarize(courses: Sequence[Course]) -> Findings:
    curable = [course for course in courses if course.cell.fault in usual_faults()]
    usual = [course for course in curable if course.cell.guard in usual_guards()]
    halves = (_half(name, _of(usual, tuned)) for name, tuned in (("not tuned on", False), ("tuned on", True)))
    return Findings(
        halves=tuple(half for half in halves if half is not None),
        beside=_beside(curable),
        hopeless=tuple(_endings(courses)),
    )


def as_json(findings: Findings) -> str:
    return json.dumps(asdict(findings), indent=2, default=sorted) + "\n"


def _beside(courses: Sequence[Course]) -> Half | None:
    """Over the strikes that any of them was run on: that part of the matrix is chosen by who runs them."""
    asked = guards_on_request().keys()
    strikes = {_strike(course) for course in courses if course.cell.guard in asked}
    wanted = asked | {OURS, UNWATCHED}
    own = [course for course in courses if course.cell.guard in wanted and _strike(course) in strikes]
    return _half("side by side", own) if strikes else None


def _endings(courses: Sequence[Course]) -> Iterator[Ending]:
    reference = Reference(courses)
    hopeless = [course for course in courses if course.cell.fault not in usual_faults()]
    for guard in usual_guards():
        own = [course for course in hopeless if course.cell.guard == guard]
        ends = [course.stopped_at - course.struck_at for course in own if course.stopped_at is not None]
        if own:
            stopped = Share(len(ends), len(own))
            yield Ending(
                guard=guard,
                stopped=stopped,
                after=median(ends) if ends else None,
                intact=Share(sum(is_rescued(course, reference) for course in own), len(own)),
                fates=tally([fate for course in own for fate in course.fates]),
            )


def _of(courses: Iterable[Course], tuned: bool) -> list[Course]:
    return [course for course in courses if all_workloads()[course.cell.workload].tuned is tuned]


def _half(name: str, courses: Sequence[Course]) -> Half | None:
    guards = [guard for guard in all_guards() if any(course.cell.guard == guard for course in courses)]
    done = {guard: {_strike(course) for course in courses if course.cell.guard == guard} for guard in guards}
    every = set[Strike]().union(*done.values())
    common = {strike for strike in every.intersection(*done.values()) if _unstruck(strike) in done.get(UNWATCHED, ())}
    if not common:
        return None
    reference = Reference(courses)
    fair = [course for course in courses if _strike(course) in common]
    scores = sorted((score(guard, fair, reference) for guard in guards), key=lambda s: -s.rescued.value)
    journalled = {guard: fates for guard in guards if (fates := list(_fates(fair, guard)))}
    faults = dict.fromkeys(course.cell.fault for course in fair)
    ours = {fault: list(_fates((c for c in fair if c.cell.fault == fault), OURS)) for fault in faults}
    return Half(
        name=name,
        workloads=tuple(sorted({workload for workload, _, _ in common})),
        strikes=len(common),
        missing={guard: len(every - strikes) for guard, strikes in done.items() if every - strikes},
        scores=tuple(scores),
        by_fault=dict(_by_fault(fair, [each.guard for each in scores], reference)),
        fates={guard: tally(fates) for guard, fates in journalled.items()},
        fates_by_fault={fault: tally(fates) for fault, fates in ours.items() if fates},
        lags={guard: tuple(sorted(f.lag for f in fates if f.lag is not None)) for guard, fates in journalled.items()},
    )


def _strike(course: Course) -> Strike:
    return course.cell.workload, course.cell.fault, course.cell.seed


def _unstruck(strike: Strike) -> Strike:
    workload, _, seed = strike
    return workload, "none", seed


def _fates(courses: Iterable[Course], guard: str) -> Iterator[Fate]:
    return (fate for course in courses if course.cell.guard == guard for fate in course.fates)


def _by_fault(
    courses: Sequence[Course], guards: Sequence[str], reference: Reference
) -> Iterator[tuple[str, dict[str, Share]]]:
    serious = [course for course in courses if reference.is_serious(course.cell)]
    for fault in sorted({course.cell.fault for course in serious}):
        struck = [course for course in serious if course.cell.fault == fault]
        yield fault, {guard: _rescued(guard, struck, reference) for guard in guards}


def _rescued(guard: str, courses: Iterable[Course], reference: Reference) -> Share:
    own = [course for course in courses if course.cell.guard == guard]
    return Share(sum(is_rescued(course, reference) for course in own), len(own))
