"""Time the guard beside loops without it, and write what was found into docs/performance.md.

python -m benchmarks.overhead --quick
python -m benchmarks.overhead --write docs/performance.md
"""

from pathlib import Path
from statistics import median

import click
import torch

from benchmarks.overhead import emitting, paired
from benchmarks.overhead.models import WORKLOADS

BEGIN, END = "<!-- begin: python -m benchmarks.overhead --write -->", "<!-- end -->"


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Few rounds: a rough answer in a minute or two.")
@click.option("--write", "page", type=click.Path(path_type=Path), help="Write the tables into this page.")
def main(quick: bool, page: Path | None) -> None:
    torch.set_num_threads(1)
    rows = [
        "| training | bare step | guarded over bare | guarded over usual | budget over bare | usual over bare |",
        "|---|---|---|---|---|---|",
    ]
    for workload in WORKLOADS:
        found = paired.times(workload, 12 if quick else 60)
        cells = [workload.name, f"{1000 * median(found['bare']):.1f} ms"]
        for one, other in (("guarded", "bare"), ("guarded", "usual"), ("budget", "bare"), ("usual", "bare")):
            cells.append(f"{paired.ratio(found, one, other):.3f}")
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    rows += [
        "",
        "| one sample of 16 values, in the loop of the MLP | microseconds | over a bare append |",
        "|---|---|---|",
    ]
    written = emitting.microseconds(200 if quick else 1000)
    for name, time in written.items():
        rows.append(f"| {name} | {time:.1f} | {time / written['os.write']:.1f} |")
    text = "\n".join(rows)
    print(text)
    if page:
        before, mark, rest = page.read_text().partition(BEGIN)
        if not mark:
            raise click.ClickException(f"{page} has no line {BEGIN!r}")
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
