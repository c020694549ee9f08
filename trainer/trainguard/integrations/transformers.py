"""A guard as a callback of the Transformers `Trainer`.

The order of one step there, and what hides in it::

    training_step        returns the loss; before it is logged, a NaN is replaced by the mean of the losses before
                         (``logging_nan_inf_filter``, on by default). The callback takes it from here
    clip_grad_norm_      always called, with an infinite limit if there is none: clip and measure in one pass
    on_pre_optimizer_step   gradients are clipped already; learning rate on
    optimizer.step
    on_optimizer_step       learning rate off, act; the scheduler has not stepped yet
    lr_scheduler.step

A `TrainerCallback` is told neither the loss nor the norm, so this one is given the trainer, and wraps
``trainer.training_step`` and ``trainer.accelerator.clip_grad_norm_`` while it trains.
"""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from trainguard.guard import Guard
from trainguard.integrations.harness import Harness

try:
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("this callback needs Transformers: pip install 'trainguard[transformers]'") from error

_STATE = "trainguard"
_CLIPPING_OF_THEIR_OWN = {"FSDP", "DEEPSPEED", "XLA", "MEGATRON_LM"}


class GuardCallback(TrainerCallback):
    """Guards the training of a `transformers.Trainer`.

    ::

        trainer = Trainer(model=model, args=args, train_dataset=data)
        trainer.add_callback(GuardCallback(trainer, run_dir="runs/a"))
        trainer.train()

    Takes the keywords of `Guard`, except those that the trainer knows. The metrics of an evaluation are observed; the
    guard's state goes into the trainer's checkpoints and comes back with ``resume_from_checkpoint=``. A rule that
    stops the run sets ``control.should_training_stop``.

    Under FSDP, DeepSpeed and XLA, which clip in their own way, ``grad_norm`` is the norm after clipping.
    """

    def __init__(self, trainer: Trainer, **options: Any) -> None:
        if not isinstance(trainer, Trainer):
            raise TypeError(f"trainer is {trainer!r:.60}, wanted a transformers.Trainer")
        self._trainer = trainer
        self._harness = Harness(options)

    @property
    def guard(self) -> Guard | None:
        """The guard of the training, or of the last one; None before the first."""
        return self._harness.guard

    def note(
        self, *, logits: Tensor | None = None, targets: Tensor | None = None, groups: Tensor | None = None
    ) -> None:
        """In ``compute_loss``: hand over what the signals of predictions look at, as to `Guard.step`."""
        self._harness.note(logits, targets, groups)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        saved = state.stateful_callbacks.get(_STATE) if isinstance(state.stateful_callbacks, dict) else None
        if saved:
            self._harness.load_state_dict(saved["attributes"])
        trainer, optimizer = self._trainer, kwargs["optimizer"]
        while hasattr(optimizer, "optimizer"):  # of accelerate, around the one that has torch's hooks
            optimizer = optimizer.optimizer
        scaler = getattr(trainer.accelerator, "scaler", None)
        self._harness.open(kwargs["model"], optimizer, scheduler=kwargs["lr_scheduler"], scaler=scaler)
        self._harness.wrap(trainer, "training_step", self._listening)
        self._harness.wrap(trainer.accelerator, "clip_grad_norm_", self._clipping)

    def _listening(self, training_step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(training_step)
        def step(*args: Any, **kwargs: Any) -> Tensor:
            loss = training_step(*args, **kwargs)
            self._harness.add_loss(loss)
            return loss

        return step

    def _clipping(self, clip_grad_norm_: Callable[..., Any]) -> Callable[..., Any]:
        accelerator = self._trainer.accelerator

        @functools.wraps(clip_grad_norm_)
        def clip(parameters: Any, max_norm: float, norm_type: float = 2) -> Any:
            if self.guard is None or norm_type != 2 or accelerator.distributed_type.value in _CLIPPING_OF_THEIR_OWN:
                return clip_grad_norm_(parameters, max_norm, norm_type=norm_type)
            accelerator.unscale_gradients()
            return self.guard.clip_(max_norm)

        return clip

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._harness.before_step(int(state.epoch or 0))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._harness.after_step()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        state.stateful_callbacks[_STATE] = {"args": {}, "attributes": self._harness.state_dict()}
        if self._harness.stopped:
            control.should_training_stop = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._harness.heartbeat()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._harness.observe(kwargs.get("metrics") or {})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._harness.close()
