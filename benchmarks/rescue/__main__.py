"""Run the rescue benchmark, or a part of it, and show what came of it.

python -m benchmarks.rescue --quick
python -m benchmarks.rescue --json build/rescue.json --picture docs/images/rescue.png --write docs/rescue.md
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from benchmarks.rescue import matrix, report, tables
from benchmarks.rescue.catalogue import all_faults, all_guards, all_workloads, usual_faults, usual_guards
from benchmarks.rescue.picture import draw

TUNED_SEEDS, OTHER_SEEDS = range(5), range(5, 10)
QUICK = ("digits_autoencoder", "spurious_digits")  # one of each half


def _subset(known: dict[str, object], default: Iterable[str] | None = None) -> object:
    def check(_: click.Context, option: click.Parameter, chosen: tuple[str, ...]) -> tuple[str, ...]:
        for name in chosen:
            if name not in known:
                raise click.BadParameter(f"{name!r}, wanted of {', '.join(known)}")
        return chosen or tuple(known if default is None else default)

    return check


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Two workloads, one seed: some minutes on two cores.")
@click.option("--workload", "workloads", multiple=True, callback=_subset({**all_workloads()}), help="Only these.")
@click.option(
    "--fault", "faults", multiple=True, callback=_subset({**all_faults()}, usual_faults()), help="Only these."
)
@click.option(
    "--guard", "guards", multiple=True, callback=_subset({**all_guards()}, usual_guards()), help="Only these."
)
@click.option("--seeds", type=int, default=5, show_default=True, help="How many seeds for each cell.")
@click.option("--workers", type=int, default=2, show_default=True, help="How many processes.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("build/rescue.jsonl"),
    show_default=True,
    help="Where single results are kept; what is there is not run again.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the scores there.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the scores there.")
@click.option("--headline", type=click.Path(path_type=Path), help="Write the shortest table into this page.")
@click.option("--summary", is_flag=True, help="Run nothing: summarize what is in the results.")
@click.option("--write", "page", type=click.Path(path_type=Path), help="Write the tables into this page.")
def main(
    quick: bool,
    workloads: tuple[str, ...],
    faults: tuple[str, ...],
    guards: tuple[str, ...],
    seeds: int,
    workers: int,
    results: Path,
    json_file: Path | None,
    picture: Path | None,
    headline: Path | None,
    summary: bool,
    page: Path | None,
) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    if summary:
        courses = list(matrix.read(results))
    else:
        wanted = _cells(workloads, faults, guards, QUICK if quick else tuple(all_workloads()), 1 if quick else seeds)
        with _progress() as bar:
            ran = matrix.run_all(wanted, results, workers)
            courses = list(bar.track(ran, len(set(wanted)), description="cells"))
    findings = report.summarize(courses)
    print(tables.as_text(findings))
    if json_file:
        json_file.write_text(report.as_json(findings))
    if picture:
        draw(findings.halves[0], picture)
    if headline:
        tables.write_headline(headline, findings.halves[0])
    if page:
        tables.write_into(page, findings)


def _progress() -> Progress:
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _cells(
    workloads: Sequence[str], faults: Sequence[str], guards: Sequence[str], among: Sequence[str], seeds: int
) -> list[matrix.Cell]:
    wanted: list[matrix.Cell] = []
    for name in workloads:
        if name in among:
            chosen = TUNED_SEEDS if all_workloads()[name].tuned else OTHER_SEEDS
            wanted += matrix.cells([name], faults, guards, chosen[:seeds])
    return wanted


if __name__ == "__main__":
    main()
