"""The gradient norms of the largest layers, from a training to its samples."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.support import Far, Monitor, Run, assert_same
from trainguard import Guard
from trainguard.signals import gradients


def norms_of(model: nn.Module) -> dict[str, float]:
    return {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("max_norm", [None, 1e-3], ids=["measured", "clipped"])
def test_samples_carry_those_before_clipping(max_norm: float | None, run_dir: Path, monitor: Monitor) -> None:
    """At their cadence, the largest first, under the names of the parameters; no signal of the run, and no value."""
    run, seen = Run(), []
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every={"layers": 2}) as guard:
        for _ in range(4):
            loss, logits, y = run.backward()
            seen.append(norms_of(run.model))
            if max_norm is not None:
                guard.clip_(max_norm)
            guard.step(loss, logits=logits, targets=y)
        assert "layers" not in guard.last
    assert guard.errors == {}
    assert "layers" not in monitor.hello().signals
    samples = monitor.samples()
    assert [sample.step for sample in samples if sample.layers] == [2, 4]
    for sample in samples:
        assert "layers" not in sample.values
        if sample.layers:
            assert sample.layers == pytest.approx(seen[sample.step - 1])
            assert list(sample.layers.values()) == sorted(sample.layers.values(), reverse=True)


def test_by_default_each_hundredth_step(run_dir: Path, monitor: Monitor) -> None:
    """Also in a step in which a signal of the user's own goes out."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 101)
        guard.observe(val_loss=1.0)
    assert [sample.step for sample in monitor.samples() if sample.layers] == [100]


@pytest.mark.parametrize(("bad", "name"), [(math.nan, "NaN"), (math.inf, "Infinity")])
def test_what_is_not_finite_is_named_first(bad: float, name: str, run_dir: Path, monitor: Monitor) -> None:
    """Which is how one finds where it began."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every={"layers": 1}) as guard:
        loss, logits, y = run.backward()
        run.model.layers[4].weight.grad[1, 2] = bad
        guard.step(loss, logits=logits, targets=y)
    (sample,) = monitor.samples()
    (first, value), *others = sample.layers.items()
    assert (first, value) == ("layers.4.weight", name)
    assert all(isinstance(norm, float) for _, norm in others)
    assert guard.errors == {}


def test_from_a_device_they_are_copied(run_dir: Path, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sample of the step in which they were measured; and they change nothing."""

    def far_norms(tensors: list[Tensor]) -> Any:
        return real(tensors).as_subclass(Far)

    run, real = Run(), gradients.norms
    monkeypatch.setattr(gradients, "norms", far_norms)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, every={"layers": 2}) as guard:
        run.train(guard, 4)
    monkeypatch.undo()
    assert guard.errors == {}
    assert [sample.step for sample in monitor.samples() if sample.layers] == [2, 4]
    plain = Run()
    for _ in range(4):
        plain.backward()
        plain.optimizer.step()
    assert_same(plain.model.state_dict(), run.model.state_dict())


def test_only_the_largest_eight(run_dir: Path, monitor: Monitor) -> None:
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(6)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Guard(model, optimizer, run_dir=run_dir, checkpoint_every=None, every={"layers": 1}) as guard:
        loss = model(torch.ones(2, 3)).square().sum()
        loss.backward()
        before = norms_of(model)
        guard.step(loss)
    (sample,) = monitor.samples()
    largest = sorted(before.items(), key=lambda layer: -layer[1])[:8]
    assert list(sample.layers.items()) == [(name, pytest.approx(norm)) for name, norm in largest]


def test_a_name_of_the_users_own_cannot_take_their_place(run_dir: Path, said: pytest.LogCaptureFixture) -> None:
    """``observe(layers=...)`` is refused like the name of a signal, and said."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.observe(layers=12.0)
    assert guard.errors == {"observe": 1}
    assert "'layers'" in said.messages[0]
