"""The recipe for small networks, and what the scheduler says of a guarded run that follows it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.support import NUM_CLASSES, Run
from trainguard import Guard
from trainguard.recipes import ConfigError, LargeLRConfig, LargeLRScheduler, small_head_recipe

KEYS = {
    *("current_lr", "epoch", "phase", "recent_sparsity", "mean_confidence", "compressibility", "class_separation"),
    *("feature_utilization", "gradient_norm"),
}


def test_the_recipe_is_the_documents() -> None:
    """Number for number, in the document's own layout."""
    assert small_head_recipe().as_dict() == {
        "lr_grid": [0.01, 0.03, 0.1, 0.3, 0.5, 0.8],
        "recommended_lr": 0.3,
        "warmup": {"epochs": 5, "start_lr": 0.01, "type": "linear"},
        "decay": {"type": "cosine", "min_lr": 1e-5, "total_epochs": 100},
        "regularization": {"weight_decay": 5e-4, "gradient_clip": 1.0, "label_smoothing": 0.1},
    }


def test_what_you_want_otherwise() -> None:
    """Any setting, and the label smoothing."""
    recipe = small_head_recipe(total_epochs=40, base_lr=0.5, label_smoothing=0.0)
    assert recipe.config == LargeLRConfig(total_epochs=40, base_lr=0.5, lr_grid=(0.01, 0.03, 0.1, 0.3, 0.5, 0.8))
    assert (recipe.label_smoothing, recipe.recommended_lr) == (0.0, 0.5)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.1, float("nan"), "0.1", None])
def test_wrong_label_smoothing(label_smoothing: Any) -> None:
    """Named like any setting."""
    with pytest.raises(ConfigError, match=r"label_smoothing is .*, wanted a number from 0 to 1"):
        small_head_recipe(label_smoothing=label_smoothing)


def test_label_smoothing_is_in_the_loss() -> None:
    """(1 - s) of the loss of the true class and s of the mean over all classes."""
    logits, targets = torch.randn(5, NUM_CLASSES), torch.tensor([0, 1, 2, 3, 0])
    log_p = torch.log_softmax(logits.double(), dim=1)
    by_hand = -(0.9 * log_p[range(5), targets] + 0.1 * log_p.mean(dim=1)).mean()
    assert float(small_head_recipe().criterion()(logits, targets)) == pytest.approx(float(by_hand), rel=1e-5)


def guarded(run_dir: Path, **every: int | None) -> tuple[Run, Guard, LargeLRScheduler]:
    run, recipe = Run(), small_head_recipe()
    run.optimizer = recipe.optimizer(run.model.parameters())
    scheduler = recipe.scheduler(run.optimizer, steps_per_epoch=4)
    guard = Guard(run.model, run.optimizer, scheduler=scheduler, run_dir=run_dir, every=every)
    return run, guard, scheduler


def test_the_parts_train_together(run_dir: Path) -> None:
    """Weight decay in the optimizer, gradients clipped as in the document: g min(1, 1 / |g|)."""
    run, guard, scheduler = guarded(run_dir)
    with guard:
        run.backward()
        for parameter in run.model.parameters():
            parameter.grad *= 1000
        before = torch.cat([p.grad.flatten().double() for p in run.model.parameters()])
        norm = guard.clip_(small_head_recipe().config.gradient_clip)
        after = torch.cat([p.grad.flatten().double() for p in run.model.parameters()])
        guard.step()
    assert float(norm) == pytest.approx(float(before.norm()), rel=1e-5)
    torch.testing.assert_close(after, before * min(1.0, 1.0 / float(before.norm())), rtol=1e-5, atol=1e-9)
    assert run.optimizer.param_groups[0]["weight_decay"] == 5e-4
    assert scheduler.get_last_lr() == [0.01]


def test_diagnostics_are_what_the_guard_measured(run_dir: Path) -> None:
    """Under the document's keys: what the last step had, by independent computation."""
    run, guard, scheduler = guarded(run_dir, activation_sparsity=1, confidence=1)
    seen: list[torch.Tensor] = []
    hook = run.model.layers[2].register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    with guard:
        for _ in range(6):
            loss, logits, targets = run.backward()
            gradient = torch.cat([p.grad.flatten().double() for p in run.model.parameters()])
            guard.step(loss, logits=logits, targets=targets)
            scheduler.step()
    hook.remove()
    found = scheduler.get_diagnostics(guard)["large_lr"]
    assert set(found) == KEYS
    assert found["current_lr"] == pytest.approx(0.01 + 0.29 * 1.5 / 5, rel=1e-12)
    assert (found["epoch"], found["phase"]) == (1.5, "warmup")
    assert found["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert found["mean_confidence"] == pytest.approx(float(logits.detach().softmax(dim=1).amax(dim=1).mean()), rel=1e-5)
    assert found["recent_sparsity"] == pytest.approx(float((seen[-1].abs() < 0.1).double().mean()), rel=1e-6)


def test_diagnostics_without_a_guard() -> None:
    """Where the schedule is; nothing is made up for the rest."""
    scheduler = LargeLRScheduler(Run().optimizer, LargeLRConfig(warmup_epochs=0))
    found = scheduler.get_diagnostics()["large_lr"]
    assert {key for key, value in found.items() if value is None} == KEYS - {"current_lr", "epoch", "phase"}
    assert (found["current_lr"], found["epoch"], found["phase"]) == (0.3, 0.0, "decay")


def test_what_is_not_to_be_tracked_is_not_measured(run_dir: Path) -> None:
    """``track_sparsity`` and ``track_confidence``, through the guard's cadences."""
    config = LargeLRConfig(track_sparsity=False, track_confidence=False)
    assert LargeLRConfig().cadences == {}
    run, guard, scheduler = guarded(run_dir, **config.cadences)
    with guard:
        run.train(guard, 100)
    found = scheduler.get_diagnostics(guard)["large_lr"]
    assert (found["recent_sparsity"], found["mean_confidence"]) == (None, None)
    assert math.isfinite(found["gradient_norm"])


def test_the_scheduler_goes_into_the_guards_checkpoints(run_dir: Path) -> None:
    """Its state is of plain types: nothing is left out of the checkpoint, nor complained of."""
    run, guard, scheduler = guarded(run_dir)
    with guard:
        run.train(guard, 2, scheduler=scheduler)
    assert guard.errors == {}
    [file] = (run_dir / "checkpoints").rglob("state.pt")
    assert "'group_ratios': [1.0]" in str(torch.load(file, weights_only=True))
