"""The whole loop with real processes: a run that nobody acts on is untouched, and a broken one is saved."""

import pytest

from tests.loop.support import Training, monitor
from tests.support.records import everything
from trainguard_wire import Decision, Goodbye, Opened, RunDirectory, Sample

EPOCHS = "22"


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_healthy_guarded_run_is_bit_for_bit_the_same_and_left_alone(tmp_path, seed):
    """Beside a live monitor with `stability`: not one decision, and the weights of the run without trainguard."""
    plain = Training(tmp_path / "plain.json", "--seed", seed, "--epochs", EPOCHS)
    with monitor(tmp_path / "runs"):
        run = RunDirectory(tmp_path / "runs" / "a")
        arguments = ("--seed", seed, "--epochs", EPOCHS, "--run-dir", str(run.path))
        guarded = Training(tmp_path / "guarded.json", *arguments).finish()
    assert guarded["weights_sha256"] == plain.finish()["weights_sha256"]
    assert guarded["accuracy"] > 0.97
    journal = everything(run.read_journal())
    assert [r for r in journal if isinstance(r, Decision)] == []
    assert sum(isinstance(r, Opened) for r in journal) == 1
    telemetry = everything(run.read_telemetry())
    steps = [r.step for r in telemetry if isinstance(r, Sample) and "loss" in r.values]
    assert steps == list(range(1, len(guarded["losses"]) + 1))
    [goodbye] = [r for r in telemetry if isinstance(r, Goodbye)]
    assert (goodbye.outcome, goodbye.lost) == ("finished", 0)


def test_every_default_signal_arrives(tmp_path):
    """As measured by the trainer in a plain loop, with nobody listening."""
    run = RunDirectory(tmp_path / "runs" / "a")
    data = Training(tmp_path / "r.json", "--epochs", "8", "--run-dir", str(run.path)).finish()
    samples = [r for r in everything(run.read_telemetry()) if isinstance(r, Sample)]
    each_step = [s for s in samples if "loss" in s.values]
    assert [s.values["loss"] for s in each_step] == pytest.approx(data["losses"])
    for name in ("grad_norm", "lr", "lr_scale"):
        assert all(name in s.values for s in each_step), name
    for name in ("confidence", "weight_decay"):
        assert sum(name in s.values for s in each_step) == len(each_step) // 10
    sparsity = [(s.step, s.values["activation_sparsity"]) for s in samples if "activation_sparsity" in s.values]
    assert len(sparsity) == len(each_step) // 100
    assert all(0 < share < 1 for _, share in sparsity)
    assert {s.values.get("weight_decay", 5e-4) for s in each_step} == {5e-4}
    assert sum("val_accuracy" in s.values for s in samples) == 8
    assert each_step[0].values["lr"] == pytest.approx(0.01)
    assert each_step[-1].epoch == 7
