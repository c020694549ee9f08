"""The cells, and running them: in parallel, resumable, each from its own seed and nothing else.

Results are lines of JSON, one a cell, appended as they come; a cell that is there is not run again. The step of the
strike is drawn from the seed, between 35 and 55 % of the training, and is the same for all guards.
"""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import torch

from benchmarks.rescue.catalogue import all_faults, all_guards, all_workloads
from benchmarks.rescue.fates import Fate
from benchmarks.rescue.training import run, validated

EARLIEST, LATEST = 0.35, 0.55


class Cell(NamedTuple):
    workload: str
    fault: str
    guard: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Course:
    """What became of one training. ``final`` is the validation loss at the end, NaN where it is not finite."""

    cell: Cell
    final: float
    steps: int
    struck_at: int
    acted: tuple[int, ...]
    wasted: int
    stopped_at: int | None
    fates: tuple[Fate, ...] = ()


def cells(
    workloads: Sequence[str], faults: Sequence[str], guards: Sequence[str], seeds: Sequence[int]
) -> Iterator[Cell]:
    """The cells that make sense, those to compare with among them: no fault and no guard."""
    known = all_workloads()
    for workload in workloads:
        applicable = [name for name in faults if all_faults()[name].applies(known[workload].make(0))]
        for seed in seeds:
            yield Cell(workload, "none", "nothing", seed)
            for fault in applicable:
                yield Cell(workload, fault, "nothing", seed)
                yield from (Cell(workload, fault, guard, seed) for guard in guards)


def run_cell(cell: Cell) -> Course:
    """Train. What a workload, a fault or a guard raises goes on, with a note of the cell."""
    try:
        return _run_cell(cell)
    except Exception as error:
        error.add_note(f"in the cell {' '.join(map(str, cell))}")
        raise


def _run_cell(cell: Cell) -> Course:
    torch.set_num_threads(1)
    training = all_workloads()[cell.workload].make(cell.seed)
    generator = torch.Generator().manual_seed(1000 + cell.seed)
    place = EARLIEST + (LATEST - EARLIEST) * float(torch.rand((), generator=generator))
    fault = all_faults()[cell.fault](training, round(place * training.steps), generator)
    with tempfile.TemporaryDirectory(prefix="rescue-") as folder:
        watching = all_guards()[cell.guard].watch(training, Path(folder))
        with watching as watch:
            stopped_at = run(training, fault, watch)
            final = validated(training)
    return Course(
        cell=cell,
        final=final,
        steps=training.steps,
        struck_at=fault.at,
        acted=tuple(watch.acted),
        wasted=watch.wasted + (training.steps - stopped_at if stopped_at else 0),
        stopped_at=stopped_at,
        fates=tuple(watch.fates),
    )


def run_all(wanted: Iterable[Cell], file: Path, workers: int) -> Iterator[Course]:
    """Every cell once: those in ``file`` from there, the others as they are done, and into it.

    Whoever stops listening ends it; the cells at work are waited for.
    """
    done = {course.cell: course for course in read(file)}
    wanted = list(dict.fromkeys(wanted))
    yield from (done[cell] for cell in wanted if cell in done)
    left = [cell for cell in wanted if cell not in done]
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))
    try:
        with _appending(file) as out:
            for future in as_completed([pool.submit(run_cell, cell) for cell in left]):
                course = future.result()
                out.write(json.dumps({**asdict(course), "cell": course.cell}) + "\n")
                out.flush()
                yield course
    finally:
        pool.shutdown(cancel_futures=True)


def read(file: Path) -> Iterator[Course]:
    """The courses in a file of results; none where there is no file. A last line that breaks off is none."""
    if not file.exists():
        return
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            fields = json.loads(line)
            fates = (Fate(**fate) for fate in fields.pop("fates", ()))
            cell, acted = Cell(*fields.pop("cell")), tuple(fields.pop("acted"))
            yield Course(**fields, cell=cell, acted=acted, fates=tuple(fates))


def _appending(file: Path) -> TextIO:
    """The file, to be added to; without a last line that somebody who was killed left unfinished."""
    if file.exists():
        whole = file.read_bytes()
        os.truncate(file, whole.rfind(b"\n") + 1)
    return file.open("a")
