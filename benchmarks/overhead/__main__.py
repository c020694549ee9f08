"""Time the guard beside loops without it, and write what was found into docs/performance.md.

python -m benchmarks.overhead --quick
python -m benchmarks.overhead --write docs/performance.md
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median

import click
import torch

from benchmarks.overhead import emitting, paired
from benchmarks.overhead.loops import loops
from benchmarks.overhead.models import WORKLOADS, Workload

BEGIN, END = "<!-- begin: python -m benchmarks.overhead --write -->", "<!-- end -->"


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Few rounds: a rough answer in a few minutes.")
@click.option("--only", help="Only the trainings whose name has this in it, such as MLP; and no samples.")
@click.option("--write", "page", type=click.Path(path_type=Path), help="Write the tables into this page.")
def main(quick: bool, only: str | None, page: Path | None) -> None:
    torch.set_num_threads(1)
    rows = []
    for row in table(quick, only):
        print(row, flush=True)
        rows.append(row)
    if page:
        before, mark, rest = page.read_text().partition(BEGIN)
        if not mark:
            raise click.ClickException(f"{page} has no line {BEGIN!r}")
        text = "\n".join(rows)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def table(quick: bool, only: str | None) -> Iterator[str]:
    """The lines of all tables, most as soon as they are known."""
    yield from compared([each for each in WORKLOADS if (only or "") in each.name], quick)
    if not only:
        yield ""
        yield from emitted(200 if quick else 1000)


def compared(workloads: list[Workload], quick: bool) -> Iterator[str]:
    """Two tables with a row a training: loops over the usual one, and over the bare one."""
    others = [name for name in loops() if name not in ("bare", "usual")]
    ours = ("usual", "guarded", "measured")
    over_bare = list(_head("over the bare loop", "bare step", *ours, "budget", "its share"))
    yield from _head("over the usual loop", *others)
    for workload in workloads:
        rounds = workload.rounds // 5 if quick else workload.rounds
        found = paired.times(workload, rounds)
        yield _row(workload.name, *(f"{paired.ratio(found, name, 'usual'):.3f}" for name in others))
        within, share = paired.within_budget(workload, rounds, 8 * rounds)
        cells = [
            f"{1000 * median(found['bare']):.1f} ms",
            *(f"{paired.ratio(found, name, 'bare'):.3f}" for name in ours),
        ]
        cells += [f"{paired.ratio(within, 'budget', 'bare'):.3f}", f"{100 * share:.2f} %"]
        over_bare.append(_row(workload.name, *cells))
    yield ""
    yield from over_bare


def emitted(steps: int) -> Iterator[str]:
    """One row a writer of samples."""
    yield from _head("one sample of 16 values, in the loop of the MLP", "median", "mean", "median over a bare append")
    written = emitting.microseconds(steps)
    for name, times in written.items():
        over = median(times) / median(written["os.write"])
        yield _row(name, f"{median(times):.1f} µs", f"{fmean(times):.1f} µs", f"{over:.1f}")


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|---" * len(cells) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
