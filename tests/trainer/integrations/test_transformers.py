"""The callback in real trainings of Transformers."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tools import need_module
from tests.trainer.support import Monitor, assert_same, weights_of

hf = need_module("transformers")
need_module("accelerate")

from trainguard.integrations.transformers import GuardCallback  # noqa: E402
from trainguard_wire import Goodbye  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
NUM_SAMPLES, BATCH, VOCABULARY, NUM_CLASSES = 24, 4, 20, 3
STEPS = NUM_SAMPLES // BATCH


class Recording(hf.Trainer):
    """Notes of what the guard should see, and a loss that can be spoilt."""

    bad_step = -1
    callback: Any = None

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            if self.state.global_step == self.bad_step:
                loss = loss * float("nan")
            if self.callback:
                self.callback.note(logits=outputs.logits, targets=inputs["labels"])
            vars(self).setdefault("losses", []).append(loss.item())
        return (loss, outputs) if return_outputs else loss

    def _clip_grad_norm(self, model: Any) -> Any:
        gradients = [p.grad.double().flatten() for p in model.parameters() if p.grad is not None]
        vars(self).setdefault("norms", []).append(torch.cat(gradients).norm().item())
        return super()._clip_grad_norm(model)


class At(hf.TrainerCallback):
    """Does something after so many steps."""

    def __init__(self, step: int, what: Callable[[], object]) -> None:
        self.step, self.what = step, what

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.what()


def data() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(1, VOCABULARY, (NUM_SAMPLES, 6), generator=generator)
    return [{"input_ids": row, "labels": int(row[0]) % NUM_CLASSES} for row in tokens]


def trainer_of(tmp_path: Path, *callbacks: Any, **options: Any) -> Recording:
    """A small transformer with dropout; three epochs unless told otherwise."""
    torch.manual_seed(0)
    sizes = {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 8}
    config = hf.DistilBertConfig(vocab_size=VOCABULARY, num_labels=NUM_CLASSES, **sizes)
    settings: dict[str, Any] = {
        "output_dir": str(tmp_path / "out"),
        "num_train_epochs": 3,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 0.01,
        "lr_scheduler_type": "linear",
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        **options,
    }
    model = hf.DistilBertForSequenceClassification(config)
    arguments = hf.TrainingArguments(**settings)
    return Recording(model=model, args=arguments, train_dataset=data(), eval_dataset=data(), callbacks=list(callbacks))


def guard(trainer: Recording, run_dir: Path, **options: Any) -> GuardCallback:
    callback = trainer.callback = GuardCallback(trainer, run_dir=run_dir, **options)
    trainer.add_callback(callback)
    return callback


@pytest.mark.parametrize(
    "options",
    [{}, {"max_grad_norm": 0.05, "gradient_accumulation_steps": 2}, {"max_grad_norm": 0.0}],
    ids=["as it comes", "clips and accumulates", "does not clip"],
)
def test_an_unjudged_training_is_bit_for_bit_the_same(tmp_path: Path, run_dir: Path, options: dict[str, Any]) -> None:
    """The weights, and the logs with their loss and norm; and nothing stays wrapped."""
    plain = trainer_of(tmp_path, **options)
    plain.train()
    guarded = trainer_of(tmp_path, **options)
    callback = guard(guarded, run_dir)
    guarded.train()
    assert_same(plain.model.state_dict(), guarded.model.state_dict())
    for mine, theirs in zip(guarded.state.log_history, plain.state.log_history, strict=True):
        assert {name: mine.get(name) for name in ("loss", "grad_norm", "learning_rate")} == {
            name: theirs.get(name) for name in ("loss", "grad_norm", "learning_rate")
        }
    assert callback.guard.errors == {}
    assert "training_step" not in vars(guarded)
    assert "clip_grad_norm_" not in vars(guarded.accelerator)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_what_is_measured(tmp_path: Path, run_dir: Path, monitor: Monitor, micro_batches: int) -> None:
    """One sample a step: the loss as the trainer logs it, the norm before clipping, what was noted."""
    trainer = trainer_of(tmp_path, gradient_accumulation_steps=micro_batches, max_grad_norm=0.01)
    guard(trainer, run_dir)
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    steps = 3 * STEPS // micro_batches
    assert len(logged) == steps
    assert monitor.series("loss") == pytest.approx(logged, abs=1e-4)
    if micro_batches == 1:
        assert monitor.series("loss") == pytest.approx(trainer.losses, rel=1e-6)
    assert monitor.series("grad_norm") == pytest.approx(trainer.norms, rel=1e-4)
    assert min(trainer.norms) > 0.01
    assert monitor.series("lr") == pytest.approx([0.01 * (1 - i / steps) for i in range(steps)], rel=1e-6)
    assert len(monitor.series("confidence")) == steps // 10
    assert [sample.epoch for sample in monitor.samples()] == [3 * i // steps for i in range(steps)]


def test_a_loss_that_the_logs_hide_is_seen(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """The trainer logs a clean loss for a NaN step; the sample has the NaN."""
    trainer = trainer_of(tmp_path, max_steps=4)
    trainer.bad_step = 2
    guard(trainer, run_dir)
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert math.isfinite(logged[2])
    assert [math.isnan(loss) for loss in monitor.series("loss")][:3] == [False, False, True]


def test_a_learning_rate_change_holds(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """To the end, and the scheduler does not notice."""
    trainer = trainer_of(tmp_path, At(3, lambda: monitor.ask(("scale_lr", {"factor": 0.5}))))
    guard(trainer, run_dir)
    trainer.train()
    steps = 3 * STEPS
    scales = [1.0 if step < 4 else 0.5 for step in range(steps)]
    assert monitor.series("lr") == pytest.approx([s * 0.01 * (1 - i / steps) for i, s in enumerate(scales)], rel=1e-6)
    assert monitor.last_ack().status == "applied"
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged == pytest.approx([0.01 * (1 - i / steps) for i in range(steps)], rel=1e-6)


def test_a_restore_goes_back_and_training_goes_on(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """In place, at a step's end."""
    after: list[dict[str, Any]] = []
    asks = At(1, lambda: (monitor.promote(0), monitor.ask(("restore_checkpoint", {}))))
    trainer = trainer_of(tmp_path, asks, max_steps=4)
    trainer.add_callback(At(2, lambda: after.append(weights_of(trainer.model))))
    guard(trainer, run_dir)
    begun = weights_of(trainer.model)
    trainer.train()
    assert (monitor.acks()[0].status, monitor.acks()[0].checkpoint) == ("applied", 0)
    assert_same(after[0], begun)
    assert len(monitor.series("loss")) == 4


def test_a_rule_can_stop_it(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """After the step in which it was asked."""
    trainer = trainer_of(tmp_path, At(3, lambda: monitor.ask(("stop", {}))))
    guard(trainer, run_dir)
    trainer.train()
    goodbye = monitor.records()[-1]
    assert isinstance(goodbye, Goodbye)
    assert (goodbye.outcome, goodbye.step, trainer.state.global_step) == ("stopped", 4, 4)


def test_its_state_is_in_the_trainers_checkpoints(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """A resumed training goes on with the step counter and the factor."""
    saving = {"save_strategy": "epoch", "lr_scheduler_type": "constant"}
    ask = At(2, lambda: monitor.ask(("scale_lr", {"factor": 0.5})))
    first = trainer_of(tmp_path, ask, num_train_epochs=1, **saving)
    guard(first, run_dir)
    first.train()
    other, second = Monitor(tmp_path / "second"), trainer_of(tmp_path, num_train_epochs=2, **saving)
    guard(second, tmp_path / "second")
    second.train(resume_from_checkpoint=True)
    assert other.series("lr") == pytest.approx([0.005] * STEPS)
    assert [sample.step for sample in other.samples()] == list(range(STEPS + 1, 2 * STEPS + 1))


def test_metrics_of_an_evaluation_are_observed(tmp_path: Path, run_dir: Path, monitor: Monitor) -> None:
    """Once an epoch."""
    trainer = trainer_of(tmp_path, eval_strategy="epoch")
    callback = guard(trainer, run_dir)
    trainer.train()
    logged = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(logged) == 3
    assert monitor.series("eval_loss") == pytest.approx(logged)
    assert callback.guard.errors == {}


def test_a_training_that_broke_off_has_failed_when_the_next_begins(
    tmp_path: Path, run_dir: Path, monitor: Monitor
) -> None:
    """The trainer tells no callback of an error."""
    trainer = trainer_of(tmp_path)

    def fail() -> None:
        trainer.remove_callback(breaking)
        raise ZeroDivisionError("in step 2")

    breaking = At(2, fail)
    trainer.add_callback(breaking)
    guard(trainer, run_dir)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    trainer.train()
    goodbyes = [record for record in monitor.records() if isinstance(record, Goodbye)]
    assert [goodbye.outcome for goodbye in goodbyes] == ["failed", "finished"]
    assert "training_step" not in vars(trainer)


def test_wrong_arguments(tmp_path: Path) -> None:
    """At once, not when training begins."""
    with pytest.raises(TypeError, match=r"trainer is None, wanted a transformers\.Trainer"):
        GuardCallback(None)
    with pytest.raises(TypeError, match="scheduler cannot be given: the framework has its own"):
        GuardCallback(trainer_of(tmp_path), scheduler=None)
    with pytest.raises(TypeError, match="run_dri"):
        GuardCallback(trainer_of(tmp_path), run_dri="a")
