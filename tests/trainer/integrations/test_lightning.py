"""The callback in real trainings of Lightning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.tools import need_module
from tests.trainer.support import BATCH, NUM_CLASSES, NUM_FEATURES, Monitor, Net, assert_same, weights_of

pl = need_module("lightning.pytorch")

from lightning.pytorch.plugins.precision import MixedPrecision  # noqa: E402

from trainguard.integrations.lightning import GuardCallback  # noqa: E402
from trainguard_wire import Goodbye  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
NUM_BATCHES = 6


class Module(pl.LightningModule):
    """A small net, a scheduler that multiplies the last learning rate, and notes of what the guard should see."""

    def __init__(self, gamma: float = 0.9, bad_batch: int = -1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.gamma, self.bad_batch = Net(), gamma, bad_batch
        self.losses: list[float] = []
        self.norms: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        logits = self.net(x)
        for callback in self.trainer.callbacks:
            if isinstance(callback, GuardCallback):
                callback.note(logits=logits, targets=y)
        loss = nn.functional.cross_entropy(logits, y)
        if batch_idx == self.bad_batch:
            loss = loss * float("inf")
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val/loss", nn.functional.cross_entropy(self.net(x), y))
        self.log("loss", 1.0)  # the name of a signal

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        gradients = [p.grad.double().flatten() for p in self.parameters() if p.grad is not None]
        self.norms.append(torch.cat(gradients).norm().item())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, self.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Manual(Module):
    """The same by hand, with as many optimizers as asked for."""

    num_optimizers = 1
    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.optimizers().zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        self.optimizers().step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(self.num_optimizers)]


class At(pl.Callback):
    """Does something after so many batches."""

    def __init__(self, batch: int, what: Callable[[], object]) -> None:
        self.batch, self.what = batch, what

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batch:
            self.what()


def data() -> Any:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(NUM_BATCHES * BATCH, NUM_FEATURES, generator=generator)
    y = torch.randint(NUM_CLASSES, (len(x),), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=BATCH)


def trainer_of(*callbacks: Any, **options: Any) -> Any:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    settings = {"accelerator": "cpu", "max_epochs": 2, **dict.fromkeys(quiet, False), **options}
    return pl.Trainer(callbacks=list(callbacks), **settings)


def fit(module: Any, *callbacks: Any, ckpt_path: Any = None, validate: bool = False, **options: Any) -> Any:
    trainer = trainer_of(*callbacks, **options)
    trainer.fit(module, data(), data() if validate else None, ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.05, "accumulate_grad_batches": 2}])
def test_an_unjudged_training_is_bit_for_bit_the_same(run_dir: Path, options: dict[str, Any]) -> None:
    """Dropout and batch norm included; and nothing stays wrapped."""
    plain, callback = Module(), GuardCallback(run_dir=run_dir, every={"activation_sparsity": 1})
    fit(plain, **options)
    guarded = Module()
    trainer = fit(guarded, callback, **options)
    assert_same(plain.state_dict(), guarded.state_dict())
    assert callback.guard.errors == {}
    assert "optimizer_step" not in vars(trainer.strategy)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_what_is_measured(run_dir: Path, monitor: Monitor, micro_batches: int) -> None:
    """One sample an optimizer step: the mean loss of its micro-batches, the norm before clipping, what was noted."""
    module = Module()
    fit(module, GuardCallback(run_dir=run_dir), accumulate_grad_batches=micro_batches, gradient_clip_val=0.01)
    pairs = [module.losses[i : i + micro_batches] for i in range(0, len(module.losses), micro_batches)]
    assert monitor.series("loss") == pytest.approx([sum(pair) / micro_batches for pair in pairs], rel=1e-5)
    assert monitor.series("grad_norm") == pytest.approx(module.norms, rel=1e-5)
    assert min(module.norms) > 0.01
    assert monitor.series("lr") == pytest.approx([0.1 * 0.9**i for i in range(len(pairs))], rel=1e-6)
    assert len(monitor.series("confidence")) == len(pairs) // 10
    assert [sample.epoch for sample in monitor.samples()] == [0] * (len(pairs) // 2) + [1] * (len(pairs) // 2)


def test_a_learning_rate_change_holds_over_a_scheduler_per_step(run_dir: Path, monitor: Monitor) -> None:
    """The scheduler multiplies what it finds: it must not find ours."""
    module = Module()
    ask = At(3, lambda: monitor.ask(("scale_lr", {"factor": 0.5})))
    trainer = fit(module, ask, GuardCallback(run_dir=run_dir))
    steps = 2 * NUM_BATCHES
    scales = [1.0 if step < 4 else 0.5 for step in range(steps)]
    assert monitor.series("lr") == pytest.approx([s * 0.1 * 0.9**i for i, s in enumerate(scales)], rel=1e-6)
    assert monitor.last_ack().status == "applied"
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**steps)


def test_under_a_gradient_scaler_that_skips_a_step(run_dir: Path, monitor: Monitor) -> None:
    """Loss and norm are unscaled; in the skipped step the scheduler still does not find our learning rate."""
    module = Module(bad_batch=4)
    precision = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10))
    ask = At(2, lambda: monitor.ask(("scale_lr", {"factor": 0.5})))
    trainer = fit(module, ask, GuardCallback(run_dir=run_dir), plugins=[precision], max_epochs=1)
    assert monitor.series("loss") == pytest.approx(module.losses, rel=1e-3)
    assert monitor.series("loss")[4] == float("inf")
    assert monitor.series("grad_norm") == pytest.approx(module.norms, rel=1e-3, nan_ok=True)
    assert precision.scaler.get_scale() == 2.0**9
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**NUM_BATCHES)


def test_manual_optimization(run_dir: Path, monitor: Monitor) -> None:
    """With one optimizer, like any."""
    plain = Manual()
    fit(plain)
    guarded = Manual()
    fit(guarded, GuardCallback(run_dir=run_dir))
    assert_same(plain.state_dict(), guarded.state_dict())
    assert monitor.series("loss") == pytest.approx(guarded.losses, rel=1e-6)
    assert monitor.series("grad_norm") == pytest.approx(guarded.norms, rel=1e-5)


def test_a_restore_goes_back_and_training_goes_on(run_dir: Path, monitor: Monitor) -> None:
    """In place, at a step's end."""
    module = Module(gamma=1.0)
    begun: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    tricks = [
        At(1, lambda: (monitor.promote(0), monitor.ask(("restore_checkpoint", {})))),
        At(2, lambda: after.append(weights_of(module))),
    ]

    class Begin(pl.Callback):
        def on_train_start(self, *_: Any) -> None:
            begun.append(weights_of(module))

    fit(module, Begin(), GuardCallback(run_dir=run_dir), *tricks, max_steps=4, max_epochs=None)
    ack = monitor.acks()[0]
    assert (ack.status, ack.checkpoint) == ("applied", 0), ack
    assert_same(after[0], begun[0])
    assert len(monitor.series("loss")) == 4


def test_a_rule_can_stop_it(run_dir: Path, monitor: Monitor) -> None:
    """After the batch in which it was asked."""
    module = Module()
    fit(module, GuardCallback(run_dir=run_dir), At(3, lambda: monitor.ask(("stop", {}))))
    goodbye = monitor.records()[-1]
    assert isinstance(goodbye, Goodbye)
    assert (goodbye.outcome, goodbye.step, len(module.losses)) == ("stopped", 4, 4)


def test_an_error_ends_the_run_as_failed(run_dir: Path, monitor: Monitor) -> None:
    """With what it was, and the learning rate as the scheduler had it."""
    module = Module()

    def fail() -> None:
        raise ZeroDivisionError("in batch 2")

    with pytest.raises(ZeroDivisionError):
        fit(module, GuardCallback(run_dir=run_dir), At(2, fail))
    goodbye = monitor.records()[-1]
    assert isinstance(goodbye, Goodbye)
    assert goodbye.outcome == "failed"
    assert "in batch 2" in goodbye.error


def test_its_state_is_in_the_trainers_checkpoints(run_dir: Path, monitor: Monitor, tmp_path: Path) -> None:
    """A resumed training goes on with the step counter and the factor."""
    ask = At(2, lambda: monitor.ask(("scale_lr", {"factor": 0.5})))
    trainer = fit(Module(gamma=1.0), ask, GuardCallback(run_dir=run_dir), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = Monitor(tmp_path / "second")
    fit(Module(gamma=1.0), GuardCallback(run_dir=tmp_path / "second"), ckpt_path=tmp_path / "a.ckpt")
    assert other.series("lr") == pytest.approx([0.05] * NUM_BATCHES)
    assert [sample.step for sample in other.samples()] == list(range(NUM_BATCHES + 1, 2 * NUM_BATCHES + 1))


def test_validation_metrics_are_observed(run_dir: Path, monitor: Monitor) -> None:
    """Once an epoch, not in the sanity check; a slash is no part of a name, and a signal's name is taken."""
    callback = GuardCallback(run_dir=run_dir)
    trainer = fit(Module(), callback, validate=True)
    assert len(monitor.series("val_loss")) == 2
    assert monitor.series("val_loss")[-1] == pytest.approx(trainer.callback_metrics["val/loss"].item())
    assert len(monitor.series("loss")) == 2 * NUM_BATCHES
    assert callback.guard.errors == {}


def test_several_optimizers_are_refused_before_training(run_dir: Path) -> None:
    """Named."""
    module = Manual()
    module.num_optimizers = 2
    with pytest.raises(ValueError, match="the module has 2 optimizers, wanted one"):
        fit(module, GuardCallback(run_dir=run_dir))
    assert module.losses == []


@pytest.mark.parametrize("options", [{"optimizer": None}, {"scaler": None, "model": None}, {"run_dri": "a"}])
def test_wrong_options(options: dict[str, Any]) -> None:
    """At once, not when training begins."""
    with pytest.raises(TypeError, match=r"cannot be given: the framework has its own|run_dri"):
        GuardCallback(**options)
