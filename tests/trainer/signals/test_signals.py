"""All signals at once, through a guard: what a run offers, when it is measured, and that it harms nothing."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer import formulas
from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard
from trainguard.demo import digits
from trainguard_rules import Engine, load_rules
from trainguard_wire import Reached
from trainguard_wire.signals import SIGNALS

SOMETIMES = {"gated", "skipped"}  # where updates are dropped
MEASURED = SIGNALS.keys() - SOMETIMES
EVERY_STEP = dict.fromkeys(MEASURED, 1)


def test_every_signal_of_a_step(run_dir: Path, monitor: Monitor) -> None:
    """One step, every value, from the tensors the loop itself has."""
    run = Run(lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.03))
    outputs, features = [], []
    run.model.layers[2].register_forward_hook(lambda *args: outputs.append(formulas.array(args[2])))
    run.model.layers[4].register_forward_hook(lambda *args: features.append(formulas.array(args[1][0])))
    with Guard(run.model, run.optimizer, run_dir=run_dir, every=EVERY_STEP) as guard:
        loss, logits, y = run.backward()
        groups = (y + torch.arange(len(y)) % 2) % 4
        before, gradients = weights(run), np.concatenate([p.grad.numpy().ravel() for p in run.model.parameters()])
        guard.step(loss, logits=logits, targets=y, groups=groups, epoch=2)
        w = weights(run)
        run.train(guard)
    first, second = monitor.samples()
    rows, labels = formulas.array(logits), y.numpy()
    assert first.values == pytest.approx(
        {
            "loss": loss.item(),
            "grad_norm": np.linalg.norm(gradients),
            "nonfinite": 0,
            "lr": 0.01,
            "lr_scale": 1.0,
            "weight_decay": 0.03,
            "confidence": formulas.confidence(rows),
            "confidence_normalized": (formulas.confidence(rows) - 1 / 4) / (3 / 4),
            "prediction_entropy": formulas.prediction_entropy(rows),
            "bias_conflict_loss_share": formulas.bias_conflict_loss_share(rows, labels, groups.numpy()),
            "activation_sparsity": np.mean(np.abs(outputs[0]) < 0.1),
            "zero_fraction": np.mean(outputs[0] == 0),
            "dead_units": np.mean((outputs[0] == 0).all(axis=0)),
            "class_separation": formulas.class_separation(features[0], labels),
            "class_separation_r2": formulas.class_separation_r2(features[0], labels),
            "feature_utilization": formulas.feature_utilization(features[0]),
            "effective_rank": formulas.effective_rank(features[0]),
            "rms_ratio": 1.0,
            "update_ratio": np.linalg.norm(w - before) / np.linalg.norm(before),
            "param_norm": np.linalg.norm(w),
            "compressibility": np.mean(np.abs(w) < 0.1),
            "prunable_fraction": np.mean(np.abs(w) < 0.01),
            "kappa_compressibility": formulas.kappa_compressibility(w),
            "pq_index": formulas.pq_index(w),
            "memory_bytes": first.values["memory_bytes"],
        },
        rel=1e-5,
    )
    assert (first.step, first.epoch, first.generation) == (1, 2, 0)
    assert second.values["throughput"] == pytest.approx(len(y) / second.values["step_seconds"])
    assert 0 < second.values["step_seconds"] < 60
    assert 1e7 < first.values["memory_bytes"] < 1e12


def weights(run: Run) -> np.ndarray:
    return np.concatenate([formulas.array(p).ravel() for p in run.model.parameters()])


def test_a_real_training_has_all_signals_and_is_left_as_it_is(run_dir: Path, monitor: Monitor) -> None:
    """Digits, dropout, 200 steps: every signal comes and is finite, and the weights are those of the plain loop.

    The seed's packs judge what was measured: each expectation has an answer, and none says "never measured".
    """
    plain, guarded = train_digits(None), train_digits(run_dir)
    assert_same(plain.state_dict(), guarded.state_dict())
    samples = monitor.samples()
    assert set(monitor.hello().signals) - SOMETIMES == MEASURED
    for name in MEASURED:
        series = monitor.series(name)
        assert len(series) >= len(samples) - 2, name
        assert all(map(math.isfinite, series)), name
        assert SIGNALS[name].unit != "ratio" or (min(series) >= -1e-6 and max(series) <= 1 + 1e-6), name
    engine = Engine(load_rules(["seed_guards", "seed_early_warnings", "seed_expectations"]))
    records = [record for report in monitor.records() for record in engine.feed(report).journal]
    answers = {record.rule: record for record in records if isinstance(record, Reached)}
    assert len(answers) == 6
    assert not any("never measured" in answer.reason for answer in answers.values())
    assert {"SeedCompressible", "SeedFeaturesUsed", "SeedSparsityReached"} <= {r for r, a in answers.items() if a.met}
    assert all(detail.status.evaluations >= 199 for detail in engine.details())


def train_digits(run_dir: Path | None) -> nn.Module:
    torch.manual_seed(0)
    data, shuffle = digits.Digits.load(), torch.Generator().manual_seed(1)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    guard = Guard(model, optimizer, run_dir=run_dir, every=EVERY_STEP) if run_dir else None
    batches = [batch for _ in range(5) for batch in data.batches(shuffle)]
    for x, y in batches[:200]:
        optimizer.zero_grad()
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        if guard is None:
            optimizer.step()
        else:
            guard.step(loss, logits=logits, targets=y, groups=(y + (x[:, 20] > 0.5)) % 10, epoch=0)
    if guard is not None:
        guard.close()
        assert guard.errors == {}
    return model


def test_cadences_are_those_of_the_documentation(run_dir: Path, monitor: Monitor) -> None:
    """A hundred steps, on the CPU, with nothing said about cadences."""
    page = (Path(__file__).parents[3] / "docs/signals.md").read_text()
    said = dict(re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| \S+ \| each (step|\d+)", page, re.MULTILINE))
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        for _ in range(100):
            loss, logits, y = run.backward()
            guard.step(loss, logits=logits, targets=y, groups=y // 2)
    cadences = {name: round(100 / len(series)) for name in MEASURED if (series := monitor.series(name))}
    assert cadences == {
        name: 1 if steps == "step" else int(steps) for name, steps in said.items() if name not in SOMETIMES
    }


def test_what_cannot_be_measured_is_not_offered(run_dir: Path, monitor: Monitor) -> None:
    """No activations, no Linear, no weight decay."""
    model = nn.Conv1d(1, 1, 1)
    with Guard(model, torch.optim.Rprop(model.parameters()), run_dir=run_dir):
        missing = MEASURED - set(monitor.hello().signals)
    assert missing == {
        *("activation_sparsity", "zero_fraction", "dead_units", "weight_decay"),
        *("class_separation", "class_separation_r2", "feature_utilization", "effective_rank"),
    }


def test_features_of_a_module_of_ones_own(run_dir: Path, monitor: Monitor) -> None:
    """Its output, not its input."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 2, 2), torch.arange(8) % 2
    with Guard(model, optimizer, run_dir=run_dir, features=model[2], every={"class_separation_r2": 1}) as guard:
        z = model(x)
        z.sum().backward()
        guard.step(targets=y)
    expected = formulas.class_separation_r2(formulas.array(z), y.numpy())
    assert monitor.series("class_separation_r2") == pytest.approx([expected], rel=1e-4)


def test_several_optimizers_accumulation_and_missing_gradients(run_dir: Path, monitor: Monitor) -> None:
    """A sparse embedding, a frozen layer, a shared weight and a layer that is not used, over two micro-batches."""
    torch.manual_seed(0)
    embedding, body, frozen, unused = (
        nn.Embedding(20, 6, sparse=True),
        nn.Linear(6, 6),
        nn.Linear(6, 6),
        nn.Linear(2, 2),
    )
    frozen.requires_grad_(False)
    model = nn.ModuleList([embedding, body, nn.ReLU(), frozen, body, unused, nn.Linear(6, 3)])
    sparse = torch.optim.SparseAdam(list(embedding.parameters()), lr=0.01)
    dense = torch.optim.AdamW([*body.parameters(), *unused.parameters(), *model[6].parameters()])
    with Guard(model, [sparse, dense], run_dir=run_dir, every=EVERY_STEP) as guard:
        for _ in range(3):
            model.zero_grad()
            for _ in range(2):
                words, y = torch.randint(20, (8, 4)), torch.arange(8) % 3
                logits = model[6](body(frozen(model[2](body(embedding(words).mean(1))))))
                loss = nn.functional.cross_entropy(logits, y)
                loss.backward()
            guard.step(loss, logits=logits, targets=y, groups=y * 0)
    assert guard.errors == {}
    assert set(monitor.samples()[-1].values) >= MEASURED
    assert not monitor.samples()[-1].nonfinite


def test_targets_that_are_no_tensor_cost_nothing_else(run_dir: Path, monitor: Monitor) -> None:
    """A list has neither shape nor device; the step's time and the logits have nothing to do with it."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every={"confidence": 1}) as guard:
        for _ in range(3):
            loss, logits, y = run.backward()
            guard.step(loss, logits=logits.unsqueeze(1), targets=y.tolist())
    assert [len(monitor.series(name)) for name in ("step_seconds", "throughput", "confidence")] == [2, 2, 3]


def test_grad_norm_is_the_one_before_clipping(run_dir: Path, monitor: Monitor) -> None:
    """clip_ hands its norm on; without gradients there is none."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        loss, *_ = run.backward()
        norm = guard.clip_(1e-3)
        guard.step(loss)
        run.optimizer.zero_grad()
        guard.step(loss)
        run.train(guard)
    first, second, third = monitor.samples()
    assert first.values["grad_norm"] == norm.item() > 0.1
    assert "grad_norm" not in second.values
    assert third.values["grad_norm"] > 1e-3


def test_non_finite_values_travel(run_dir: Path, monitor: Monitor) -> None:
    """A NaN loss is the one value that must arrive."""
    run = Run()
    every = {"confidence": 1, "confidence_normalized": 1}
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every=every) as guard:
        run.backward()
        run.model.layers[0].weight.grad[0, :3] = float("-inf")
        guard.step(torch.tensor(float("nan")), logits=torch.full((2, 3), float("nan")))
        guard.observe(val_loss=float("inf"), accuracy=torch.tensor(0.5), steps=3)
    first, second = monitor.samples()
    assert first.nonfinite == {
        "loss": "NaN",
        "confidence": "NaN",
        "confidence_normalized": "NaN",
        "grad_norm": "Infinity",
    }
    assert first.values["nonfinite"] == 3
    assert (second.values, second.nonfinite, second.step) == (
        {"accuracy": 0.5, "steps": 3},
        {"val_loss": "Infinity"},
        1,
    )


def test_cadences_and_no_hooks_between(run_dir: Path, monitor: Monitor) -> None:
    """Hooks exist only for the steps that are due; evaluation is not looked at."""
    run = Run()
    relu, head = run.model.layers[2], run.model.layers[4]
    cadences = {"activation_sparsity": 3, "feature_utilization": 2, "loss": None}
    with Guard(run.model, run.optimizer, run_dir=run_dir, every=cadences) as guard:
        for step in range(1, 8):
            assert len(relu._forward_hooks) == (step % 3 == 0)
            assert len(head._forward_pre_hooks) == (step % 2 == 0)
            assert len(run.model._forward_pre_hooks) == 0
            if step == 3:
                run.model.eval()
                run.model(torch.full((4, 8), 1e6))
                run.model.train()
            run.train(guard)
    assert [sample.step for sample in monitor.samples() if "activation_sparsity" in sample.values] == [3, 6]
    assert [sample.step for sample in monitor.samples() if "feature_utilization" in sample.values] == [2, 4, 6]
    assert monitor.series("loss") == monitor.series("zero_fraction") == []
    assert monitor.series("activation_sparsity")[0] < 0.9
    assert not relu._forward_hooks


def test_micro_batches_count_together(run_dir: Path, monitor: Monitor) -> None:
    """Two forward passes before one step: shares over both, a unit is dead when it is in both."""
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with Guard(model, optimizer, run_dir=run_dir, every={"zero_fraction": 1, "dead_units": 1}) as guard:
        model(torch.tensor([[1.0, 0.0, 0.0]]))
        model(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
        guard.step(1.0)
    assert monitor.series("zero_fraction") == pytest.approx([6 / 9])
    assert monitor.series("dead_units") == pytest.approx([1 / 3])
