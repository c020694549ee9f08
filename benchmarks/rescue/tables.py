"""The halves as text, and as tables in pages, between two marks."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from statistics import median

from benchmarks.rescue.catalogue import all_guards
from benchmarks.rescue.fates import Tally
from benchmarks.rescue.report import OURS, Ending, Findings, Half
from benchmarks.rescue.scores import Score

BEGIN, END = "<!-- begin: python -m benchmarks.rescue --write -->", "<!-- end -->"
HEADLINE = "<!-- begin: python -m benchmarks.rescue --headline -->"
HEAD = (
    *("guard", "rescued", "95 %", f"only it : only {OURS}", "unharmed", "healthy runs disturbed"),
    *("false alarms", "delay", "wasted", "loss"),
)
FATES = (
    *("what became of interventions", "number", "actions applied", "refused", "lost"),
    *("helped", "did not help", "no verdict", "reverted", "escalated"),
)
ENDINGS = (
    *("guard", "stopped", "after steps", "weights intact", "interventions"),
    *("helped", "did not help", "no verdict", "escalated"),
)

Row = tuple[str, ...]


def as_text(findings: Findings) -> str:
    return "\n\n".join(block if isinstance(block, str) else _aligned(block) for block in _blocks(findings))


def write_into(page: Path, findings: Findings) -> None:
    """Everything, between the two marks of a page."""
    blocks = (block if isinstance(block, str) else _markdown(block) for block in _blocks(findings))
    _replace(page, BEGIN, "\n\n".join(blocks))


def write_headline(page: Path, half: Half) -> None:
    """What counts most of one half, between the two marks of a page."""
    rows: list[Row] = [("guard", "broken runs rescued", "healthy runs disturbed", "steps to the first intervention")]
    for each in half.scores:
        name, rescued, _, _, _, disturbed, _, delay, *_ = _cells(each, half)
        rows.append((name, rescued, disturbed, delay))
    _replace(page, HEADLINE, f"{_markdown(rows)}\n\n{_basis(half)}" if half.missing else _markdown(rows))


def _basis(half: Half) -> str:
    """What the numbers are over."""
    text = f"{half.strikes} trainings under each guard, the same for all."
    if half.missing:
        lacking = ", ".join(f"{guard} {count}" for guard, count in half.missing.items())
        text += f" Left out are those that not every guard has run yet; missing are: {lacking}."
    return text


def _blocks(findings: Findings) -> Iterator[str | list[Row]]:
    """Headings, sentences and tables, in the order of the page."""
    for half in findings.halves:
        yield f"### Workloads {half.name}: {', '.join(half.workloads)}"
        yield _basis(half)
        yield from _tables(half)
    if findings.beside is not None:
        yield f"### In two processes: {', '.join(findings.beside.workloads)}"
        yield _basis(findings.beside)
        yield _beside(findings.beside)
    if findings.hopeless:
        yield "### What nothing mends"
        yield [ENDINGS, *map(_ending, findings.hopeless)]


def _tables(half: Half) -> Iterator[list[Row]]:
    yield [HEAD, *(_cells(each, half) for each in half.scores)]
    guards = [each.guard for each in half.scores]
    faults = half.by_fault.items()
    yield [
        ("rescued, by fault", *guards),
        *((fault, *(f"{shares[guard].hits}/{shares[guard].of}" for guard in guards)) for fault, shares in faults),
    ]
    if half.fates:
        yield [
            FATES,
            *(_fates(f"{OURS}, {fault}", tally) for fault, tally in half.fates_by_fault.items()),
            *(_fates(f"{guard}, in all", tally) for guard, tally in half.fates.items()),
        ]


def _beside(half: Half) -> list[Row]:
    rows: list[Row] = [
        ("guard", "rescued", "unharmed", "healthy runs disturbed", "delay", "wasted", "loss", "steps to take effect")
    ]
    for each in half.scores:
        name, rescued, _, _, unharmed, disturbed, _, delay, wasted, loss = _cells(each, half)
        rows.append((name, rescued, unharmed, disturbed, delay, wasted, loss, _lags(half.lags.get(each.guard, ()))))
    return rows


def _ending(each: Ending) -> Row:
    fates = each.fates
    counts = (fates.interventions, fates.helped, fates.not_helped, fates.no_verdict, fates.escalated)
    journal = map(str, counts) if fates.interventions else "-----"
    return (
        each.guard,
        f"{each.stopped.hits} of {each.stopped.of}",
        "-" if each.after is None else f"{each.after:.0f}",
        f"{each.intact.hits} of {each.intact.of}",
        *journal,
    )


def _lags(lags: Sequence[int]) -> str:
    return f"median {median(lags):.0f}, 95 % {lags[int(0.95 * (len(lags) - 1))]}, most {lags[-1]}" if lags else "-"


def _cells(each: Score, half: Half) -> Row:
    low, high = each.rescued.interval
    name = f"{each.guard} (only stops)" if all_guards()[each.guard].only_stops else each.guard
    ours = next((other for other in half.scores if other.guard == OURS), each)
    return (
        name,
        f"{each.rescued.hits} of {each.rescued.of}",
        f"{100 * low:.0f} to {100 * high:.0f} %",
        "-" if each is ours else f"{len(each.saved - ours.saved)} : {len(ours.saved - each.saved)}",
        f"{each.unharmed.hits} of {each.unharmed.of}",
        f"{each.disturbed.hits} of {each.disturbed.of}",
        str(each.false_alarms),
        "-" if each.delay is None else f"{each.delay:.0f}",
        f"{each.wasted:.0f}",
        f"{each.loss_ratio:.2f}",
    )


def _fates(name: str, tally: Tally) -> Row:
    return name, *(str(count) for count in astuple(tally))


def _aligned(rows: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _markdown(rows: Sequence[Row]) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _replace(page: Path, begin: str, text: str) -> None:
    before, mark, rest = page.read_text().partition(begin)
    if not mark:
        raise ValueError(f"{page} has no line {begin!r}")
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}")
