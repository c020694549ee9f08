"""The rescue benchmark's own machinery: cells that repeat, results that are taken up again, scores that add up."""

import json
from math import inf, nan
from pathlib import Path

import pytest
import torch

from benchmarks.rescue import report
from benchmarks.rescue.catalogue import all_faults, all_guards, all_workloads
from benchmarks.rescue.matrix import Cell, Course, cells, read, run_all, run_cell
from benchmarks.rescue.scores import Reference, Share, delay_of, score


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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
    assert broken.final < 2 * healthy.final


def test_results_are_taken_up_again(tmp_path: Path):
    file = tmp_path / "results.jsonl"
    wanted = list(cells(["digits_autoencoder"], ["none"], ["nothing"], [0]))
    first = list(run_all(wanted, file, workers=1))
    assert list(run_all(wanted, file, workers=1)) == first == list(read(file))
    assert len(file.read_text().splitlines()) == 1


def test_a_fault_that_a_training_cannot_have_is_left_out():
    wanted = set(cells(["digits_mlp"], ["zeroed_moments", "nan_batch"], ["stability"], [0]))
    assert {cell.fault for cell in wanted} == {"none", "nan_batch"}


def test_the_report_says_the_same_everywhere(tmp_path: Path):
    halves = report.summarize(COURSES)
    assert "stability" in report.as_text(halves)
    assert json.loads(report.as_json(halves))[0]["scores"][0]["guard"] == "stability"
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_into(page, halves)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    short = tmp_path / "short.md"
    short.write_text(f"{report.HEADLINE}\n{report.END}\n")
    report.write_headline(short, halves[0])
    assert "| stability | 1 of 1 | 1 of 2 | 2 |" in short.read_text()
    with pytest.raises(ValueError, match="has no line"):
        report.write_into(short, halves)
    report.draw(halves, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_every_workload_trains_a_step_and_every_fault_is_known():
    for workload in all_workloads().values():
        made = workload.make(0)
        x, y = next(made.batches)
        switched = made.switch(x, y)
        assert switched[0].shape == x.shape
        assert made.criterion(made.model(x), y).isfinite()
    assert {"none", "mix_switch"} == {fault.name for fault in all_faults().values() if fault.healthy}
    assert all_guards().keys() >= {"nothing", "stability", "seed_guards"}
