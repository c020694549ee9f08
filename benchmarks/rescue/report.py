"""The scores as text, as JSON, as tables for a page, and as a picture."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.rescue.catalogue import all_guards, all_workloads
from benchmarks.rescue.matrix import Course
from benchmarks.rescue.scores import Reference, Score, Share, is_rescued, score

BEGIN, END = "<!-- begin: python -m benchmarks.rescue --write -->", "<!-- end -->"
HEADLINE = "<!-- begin: python -m benchmarks.rescue --headline -->"
HEAD = ("guard", "rescued", "95 %", "unharmed", "healthy runs disturbed", "false alarms", "delay", "wasted", "loss")


@dataclass(frozen=True)
class Half:
    """The scores over the workloads looked at while tuning, or over the others; ``by_fault`` are rescued shares."""

    name: str
    workloads: tuple[str, ...]
    scores: tuple[Score, ...]
    by_fault: dict[str, dict[str, Share]]


def summarize(courses: Sequence[Course]) -> list[Half]:
    """The half not tuned on first: it is the one that counts."""
    reference = Reference(courses)
    halves = []
    for name, tuned in (("not tuned on", False), ("tuned on", True)):
        own = [course for course in courses if all_workloads()[course.cell.workload].tuned is tuned]
        if own:
            halves.append(_half(name, own, reference))
    return halves


def _half(name: str, courses: Sequence[Course], reference: Reference) -> Half:
    guards = [guard for guard in all_guards() if any(course.cell.guard == guard for course in courses)]
    scores = sorted((score(guard, courses, reference) for guard in guards), key=lambda s: -s.rescued.value)
    serious = [course for course in courses if reference.is_serious(course.cell) and course.cell.fault != "mix_switch"]
    by_fault: dict[str, dict[str, Share]] = {}
    for fault in dict.fromkeys(course.cell.fault for course in serious):
        struck = [course for course in serious if course.cell.fault == fault]
        by_fault[fault] = {guard: _rescued(guard, struck, reference) for guard in (s.guard for s in scores)}
    return Half(name, tuple(dict.fromkeys(course.cell.workload for course in courses)), tuple(scores), by_fault)


def _rescued(guard: str, courses: Iterable[Course], reference: Reference) -> Share:
    own = [course for course in courses if course.cell.guard == guard]
    return Share(sum(is_rescued(course, reference) for course in own), len(own))


def as_text(halves: Iterable[Half]) -> str:
    return "\n\n".join(f"Workloads {half.name}: {', '.join(half.workloads)}\n{_table(half)}" for half in halves)


def as_json(halves: Iterable[Half]) -> str:
    return json.dumps([asdict(half) for half in halves], indent=2) + "\n"


def write_into(page: Path, halves: Iterable[Half]) -> None:
    """Everything, between the two marks of a page."""
    tables = (f"### Workloads {half.name}: {', '.join(half.workloads)}\n\n{_markdown(half)}" for half in halves)
    _replace(page, BEGIN, "\n\n".join(tables))


def write_headline(page: Path, half: Half) -> None:
    """What counts most of one half, between the two marks of a page."""
    head = ("guard", "broken runs rescued", "healthy runs disturbed", "steps to the first intervention")
    rows = [_row(head), _row("---" for _ in head)]
    for each in half.scores:
        name, rescued, _, _, disturbed, _, delay, *_ = _cells(each)
        rows.append(_row((name, rescued, disturbed, delay)))
    _replace(page, HEADLINE, "\n".join(rows))


def _replace(page: Path, begin: str, text: str) -> None:
    before, mark, rest = page.read_text().partition(begin)
    if not mark:
        raise ValueError(f"{page} has no line {begin!r}")
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}")


def draw(halves: Sequence[Half], file: Path) -> None:
    """The share of rescued runs of each guard, and how many healthy runs it disturbed; the first half only."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    scores = list(reversed(halves[0].scores))
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(9, 0.35 * len(scores) + 1.2), width_ratios=(3, 2))
    for i, each in enumerate(scores):
        low, high = each.rescued.interval
        colour = "#1b7f5c" if each.guard == "stability" else "#8a94a6"
        left.barh(i, 100 * each.rescued.value, color=colour)
        left.plot((100 * low, 100 * high), (i, i), color="#222", lw=1)
        right.barh(i, 100 * each.disturbed.value, color="#c8553d")
    left.set_yticks(range(len(scores)), [each.guard for each in scores])
    left.set_xlabel("runs with a serious fault that were rescued, %")
    right.set_xlabel("healthy runs disturbed, %")
    for axes in (left, right):
        axes.set_xlim(0, 100)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=130)


def _cells(each: Score) -> tuple[str, ...]:
    low, high = each.rescued.interval
    name = f"{each.guard} (only stops)" if all_guards()[each.guard].only_stops else each.guard
    return (
        name,
        f"{each.rescued.hits} of {each.rescued.of}",
        f"{100 * low:.0f} to {100 * high:.0f} %",
        f"{each.unharmed.hits} of {each.unharmed.of}",
        f"{each.disturbed.hits} of {each.disturbed.of}",
        str(each.false_alarms),
        "-" if each.delay is None else f"{each.delay:.0f}",
        f"{each.wasted:.0f}",
        f"{each.loss_ratio:.2f}",
    )


def _table(half: Half) -> str:
    rows = [HEAD, *map(_cells, half.scores)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _markdown(half: Half) -> str:
    rows = [_row(HEAD), _row("---" for _ in HEAD), *(_row(_cells(each)) for each in half.scores)]
    guards = [each.guard for each in half.scores]
    faults = [_row(("rescued, by fault", *guards)), _row("---" for _ in range(len(guards) + 1))]
    for fault, shares in half.by_fault.items():
        faults.append(_row((fault, *(f"{shares[guard].hits}/{shares[guard].of}" for guard in guards))))
    return "\n".join(rows) + "\n\n" + "\n".join(faults)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
