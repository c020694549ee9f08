"""The rescue benchmark's own machinery: cells that repeat, results that are taken up again, scores that add up."""

import os
import signal
from math import inf, nan
from pathlib import Path

from click.testing import CliRunner

from benchmarks.rescue.__main__ import main
from benchmarks.rescue.catalogue import all_faults, all_guards, all_workloads
from benchmarks.rescue.matrix import Cell, Course, cells, read, run_all, run_cell
from benchmarks.rescue.scores import Reference, Share, delay_of, score
from tests.support.processes import server
from tests.support.waiting import until


def course(guard: str, fault: str, final: float, *, acted: tuple[int, ...] = (), seed: int = 0) -> Course:
    cell = Cell("digits_mlp", fault, guard, seed)
    return Course(cell=cell, final=final, steps=900, struck_at=400, acted=acted, wasted=0, stopped_at=None)


COURSES = [
    course("nothing", "none", 1.0),
    course("nothing", "nan_batch", nan),
    course("nothing", "label_shuffle", 1.05),
    course("nothing", "mix_switch", 1.3),
    course("stability", "none", 1.0, acted=(300,)),
    course("stability", "nan_batch", 1.08, acted=(100, 402)),
    course("stability", "label_shuffle", 1.2),
    course("stability", "mix_switch", 1.4),
]


def test_scores_add_up():
    reference = Reference(COURSES)
    ours = score("stability", COURSES, reference)
    assert ours.rescued == Share(1, 1)
    assert ours.unharmed == Share(0, 1)
    assert ours.disturbed == Share(1, 2)
    assert ours.healthy_ok == Share(2, 2)
    assert ours.false_alarms == 2  # one on the healthy run, one before the fault
    assert ours.saved == {Cell("digits_mlp", "nan_batch", "nothing", 0)}
    assert (ours.delay, ours.delay_interval) == (2, (2, 2))
    assert score("nothing", COURSES, reference).loss_ratio == inf
    assert delay_of(COURSES[4]) is None


def test_the_interval_of_a_share_is_wilsons():
    low, high = Share(9, 10).interval
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)


def test_a_cell_repeats_and_is_struck_at_the_same_step_whatever_the_guard():
    cell = Cell("digits_autoencoder", "nan_batch", "nothing", 3)
    once, again = run_cell(cell), run_cell(cell)
    assert once.final != once.final
    assert (once.struck_at, once.acted) == (again.struck_at, again.acted)
    assert run_cell(cell._replace(guard="olmo_skip_step")).struck_at == once.struck_at


def test_the_real_guard_rescues_a_run_and_leaves_a_healthy_one_as_it_is():
    healthy = run_cell(Cell("digits_autoencoder", "none", "nothing", 0))
    watched = run_cell(Cell("digits_autoencoder", "none", "stability", 0))
    assert watched.final == healthy.final  # bit for bit
    assert watched.acted == ()
    broken = run_cell(Cell("digits_autoencoder", "nan_batch", "stability", 0))
    assert broken.acted
    assert [(fate.kind, fate.helped, fate.outcomes) for fate in broken.fates] == [("action", True, {"applied": 3})]
    assert broken.final < 2 * healthy.final


def test_results_are_taken_up_again_and_a_line_that_breaks_off_is_run_again(tmp_path: Path):
    file = tmp_path / "results.jsonl"
    wanted = [cell for seed in (0, 1) for cell in cells(["digits_autoencoder"], ["none"], ["nothing"], [seed])]
    whole = sorted(run_all(wanted, file, workers=2), key=lambda c: c.cell)
    before = file.read_bytes()
    assert sorted(run_all(wanted, file, workers=1), key=lambda c: c.cell) == whole
    assert file.read_bytes() == before
    file.write_bytes(before[:-40])
    assert len(list(read(file))) == 1
    assert sorted(run_all(wanted, file, workers=1), key=lambda c: c.cell) == whole
    assert sorted(read(file), key=lambda c: c.cell) == whole


def _benchmark(arguments: list[str]) -> None:
    main(arguments)


def test_an_interrupted_run_ends_soon_and_is_taken_up_where_it_was(tmp_path: Path):
    file = tmp_path / "results.jsonl"
    arguments = [f"--results={file}", "--workers=1", "--guard=nothing"]
    arguments += ["--workload=digits_autoencoder", "--fault=none", "--fault=nan_batch"]
    process = server.Process(target=_benchmark, args=([*arguments, "--seeds=5"],))
    process.start()
    until(lambda: not process.is_alive() or (file.exists() and file.read_text().endswith("\n")))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 1
    before = {course.cell for course in read(file)}
    assert 1 <= len(before) < 10
    again = CliRunner().invoke(main, [*arguments, "--seeds=1"])
    assert again.exit_code == 0
    assert before <= {course.cell for course in read(file)}
    assert len(list(read(file))) == len({course.cell for course in read(file)})
    assert "2/2" in again.stderr  # the progress bar
    assert "nothing" in again.stdout


def test_a_fault_that_a_training_cannot_have_is_left_out():
    wanted = set(cells(["digits_mlp"], ["zeroed_moments", "nan_batch"], ["stability"], [0]))
    assert {cell.fault for cell in wanted} == {"none", "nan_batch"}


def test_every_workload_trains_a_step_and_every_fault_is_known():
    for workload in all_workloads().values():
        made = workload.make(0)
        x, y = next(made.batches)
        switched = made.switch(x, y)
        assert switched[0].shape == x.shape
        assert made.criterion(made.model(x), y).isfinite()
    assert {"none", "mix_switch"} == {fault.name for fault in all_faults().values() if fault.healthy}
    assert all_guards().keys() >= {"nothing", "stability", "seed_guards"}
