"""What became of interventions: read from the journals of real runs."""

from pathlib import Path

import pytest
import torch

from benchmarks.rescue.catalogue import all_workloads
from benchmarks.rescue.fates import Fate, Tally, tally
from benchmarks.rescue.guards.trainguard_packs import Pack
from benchmarks.rescue.matrix import Cell, run_cell
from benchmarks.rescue.training import Fault, run

VAIN = """
groups:
  - name: vain
    rules:
      - guard: Vain
        expr: step == 30
        actions: [{scale_lr: {factor: 0.5}}]
        verify: {expr: loss < 0, within: 10 steps, otherwise: revert}
"""


def test_what_does_not_help_is_escalated_until_the_run_stops():
    course = run_cell(Cell("digits_autoencoder", "nan_for_good", "stability", 0))
    assert course.stopped_at is not None
    *tries, last = course.fates
    assert (last.rule, last.kind, last.outcomes) == ("LossNotFinite", "escalation", {"applied": 1})
    assert len(tries) >= 2
    assert False in {fate.helped for fate in tries}
    assert True not in {fate.helped for fate in tries}


def test_what_does_not_help_is_reverted(tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(VAIN)
    training = all_workloads()["digits_autoencoder"].make(0)
    with Pack(str(rules)).watch(training, tmp_path) as watch:
        run(training, Fault(training, 0, torch.Generator()), watch)
    tried, taken_back = watch.fates
    assert (tried.step, tried.kind, tried.helped, tried.outcomes) == (30, "action", False, {"applied": 1})
    assert (taken_back.kind, taken_back.helped, taken_back.outcomes) == ("reversal", None, {"applied": 1})
    assert taken_back.step - tried.step in (11, 12)
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(2e-3)


def test_a_monitor_process_leaves_a_healthy_run_as_it_is_and_rescues_a_broken_one():
    cell = Cell("digits_autoencoder", "none", "nothing", 0)
    healthy, watched = run_cell(cell), run_cell(cell._replace(guard="stability_process"))
    assert (watched.final, watched.acted) == (healthy.final, ())
    broken = run_cell(cell._replace(fault="nan_batch", guard="stability_process"))
    assert broken.fates[0].outcomes == {"applied": 3}
    assert broken.fates[0].lag is not None
    assert broken.fates[0].lag >= 1
    assert broken.final < 2 * healthy.final


def test_a_tally_counts_by_end_and_by_verdict():
    fates = [
        Fate(rule="A", step=1, kind="action", outcomes={"applied": 2, "refused": 1}, effect_at=3, helped=True),
        Fate(rule="A", step=9, kind="action", outcomes={"failed": 1, "expired": 1}, helped=None),
        Fate(rule="B", step=9, kind="action", outcomes={"applied": 1}, helped=False),
        Fate(rule="B", step=20, kind="reversal", outcomes={"applied": 1}),
        Fate(rule="B", step=30, kind="escalation", outcomes={"lost": 1}),
    ]
    assert fates[0].lag == 2
    assert tally(fates) == Tally(
        interventions=3,
        applied=4,
        refused=2,
        lost=2,
        helped=1,
        not_helped=1,
        no_verdict=1,
        reverted=1,
        escalated=1,
    )
