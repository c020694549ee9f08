"""The report of the rescue benchmark: the same trainings for all, and the same numbers everywhere."""

import json
from math import nan
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.rescue import report, tables
from benchmarks.rescue.__main__ import main
from benchmarks.rescue.fates import Fate
from benchmarks.rescue.matrix import Cell, Course
from benchmarks.rescue.picture import draw
from benchmarks.rescue.scores import Share

HELPED = Fate(rule="A", step=402, kind="action", outcomes={"applied": 3}, effect_at=403, helped=True)


def course(guard: str, fault: str, final: float, seed: int = 0, *, stopped_at: int | None = None) -> Course:
    acts = guard.startswith("stability") and fault == "nan_batch"
    return Course(
        cell=Cell("digits_mlp", fault, guard, seed),
        final=final,
        steps=900,
        struck_at=400,
        acted=(402,) if acts else (),
        wasted=0,
        stopped_at=stopped_at,
        fates=(HELPED,) if acts else (),
    )


COURSES = [
    *(course("nothing", "none", 1.0, seed) for seed in (0, 1)),
    *(course("nothing", "nan_batch", nan, seed) for seed in (0, 1)),
    *(course("stability", "none", 1.0, seed) for seed in (0, 1)),
    *(course("stability", "nan_batch", 1.05, seed) for seed in (0, 1)),
    course("zclip", "none", 1.0),
    course("zclip", "nan_batch", nan),
]
COMPLETE = [*COURSES, course("zclip", "none", 1.0, 1), course("zclip", "nan_batch", 1.0, 1)]


def test_guards_are_compared_over_the_same_trainings_and_what_is_missing_is_said():
    (half,) = report.summarize(COURSES).halves
    assert half.strikes == 2
    assert half.missing == {"zclip": 2}
    assert {each.guard: each.rescued for each in half.scores} == {
        "stability": Share(1, 1),
        "zclip": Share(0, 1),
        "nothing": Share(0, 1),
    }
    assert "missing are: zclip 2" in tables.as_text(report.summarize(COURSES))
    assert "missing" not in tables.as_text(report.summarize(COMPLETE))


def test_pairs_are_told():
    text = tables.as_text(report.summarize(COMPLETE))
    row = next(line for line in text.splitlines() if line.startswith("zclip"))
    assert "1 of 2" in row
    assert "0 : 1" in row


def test_what_became_of_interventions_is_told():
    (half,) = report.summarize(COMPLETE).halves
    assert half.fates["stability"].helped == 2
    assert half.fates_by_fault.keys() == {"nan_batch"}
    assert half.lags["stability"] == (1, 1)


def test_a_monitor_process_is_compared_with_the_same_trainings_in_lockstep_and_is_no_guard_of_its_own():
    own = [course("stability_process", "none", 1.0), course("stability_process", "nan_batch", 1.04)]
    findings = report.summarize([*COMPLETE, *own])
    assert "stability_process" not in {each.guard for each in findings.halves[0].scores}
    assert findings.beside is not None
    assert {each.guard: each.rescued for each in findings.beside.scores} == {
        "stability": Share(1, 1),
        "stability_process": Share(1, 1),
        "nothing": Share(0, 1),
    }
    assert "In two processes" in tables.as_text(findings)


def test_what_nothing_mends_is_told_apart():
    own = [course("nothing", "nan_for_good", nan), course("stability", "nan_for_good", nan, stopped_at=520)]
    findings = report.summarize([*COMPLETE, *own])
    assert findings.halves == report.summarize(COMPLETE).halves
    assert {each.guard: (each.stopped, each.after, each.intact) for each in findings.hopeless} == {
        "nothing": (Share(0, 1), None, Share(0, 1)),
        "stability": (Share(1, 1), 120, Share(0, 1)),
    }
    assert "What nothing mends" in tables.as_text(findings)


def test_the_report_says_the_same_everywhere(tmp_path: Path):
    findings = report.summarize(COMPLETE)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    tables.write_into(page, findings)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    short = tmp_path / "short.md"
    short.write_text(f"{tables.HEADLINE}\n{tables.END}\n")
    tables.write_headline(short, findings.halves[0])
    assert "| stability | 2 of 2 | 0 of 2 | 2 |" in short.read_text()
    with pytest.raises(ValueError, match="has no line"):
        tables.write_into(short, findings)
    draw(findings.halves[0], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_json_has_the_scores_and_what_they_are_over(tmp_path: Path):
    results, file = tmp_path / "results.jsonl", tmp_path / "scores.json"
    results.write_text("")
    command = ["--summary", f"--results={results}", f"--json={file}"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert json.loads(file.read_text())["halves"] == []
    found = json.loads(report.as_json(report.summarize(COMPLETE)))
    (half,) = found["halves"]
    assert half["strikes"] == 4
    assert half["scores"][0]["guard"] == "stability"
    assert half["scores"][0]["rescued"] == [2, 2]


def test_a_name_that_is_none_is_refused_with_those_there_are():
    result = CliRunner().invoke(main, ["--guard", "hope"])
    assert result.exit_code == 2
    assert "'hope'" in result.output
    assert "stability" in result.output
