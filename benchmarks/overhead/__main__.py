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
@click.option("--quick", is_flag=True, help="Few rounds: a rough answer in a minute or two.")
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
    """The lines of both tables, each as soon as it is known."""
    yield from compared([each for each in WORKLOADS if (only or "") in each.name], quick)
    if not only:
        yield ""
        yield from emitted(200 if quick else 1000)


def compared(workloads: list[Workload], quick: bool) -> Iterator[str]:
    """One row a training: a bare step, and each loop over the bare one and over the usual one."""
    others = [name for name in loops() if name not in ("bare", "usual")]
    yield (
        f"| training | bare step | usual / bare | {' | '.join(f'{name} / usual' for name in others)} "
        "| guarded / bare | measured / bare | budget / bare | its share |"
    )
    yield "|---" * (len(others) + 7) + "|"
    for workload in workloads:
        rounds = workload.rounds // 5 if quick else workload.rounds
        found = paired.times(workload, rounds)
        within, share = paired.within_budget(workload, rounds, 8 * rounds)
        cells = [workload.name, f"{1000 * median(found['bare']):.1f} ms", f"{paired.ratio(found, 'usual', 'bare'):.3f}"]
        cells += [f"{paired.ratio(found, name, 'usual'):.3f}" for name in others]
        cells += [f"{paired.ratio(found, name, 'bare'):.3f}" for name in ("guarded", "measured")]
        cells += [f"{paired.ratio(within, 'budget', 'bare'):.3f}", f"{100 * share:.2f} %"]
        yield f"| {' | '.join(cells)} |"


def emitted(steps: int) -> Iterator[str]:
    """One row a writer of samples."""
    yield "| one sample of 16 values, in the loop of the MLP | median | mean | median over a bare append |"
    yield "|---|---|---|---|"
    written = emitting.microseconds(steps)
    for name, times in written.items():
        over = median(times) / median(written["os.write"])
        yield f"| {name} | {median(times):.1f} µs | {fmean(times):.1f} µs | {over:.1f} |"


if __name__ == "__main__":
    main()
