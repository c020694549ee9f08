"""A guard as a callback of Lightning.

Where a guard has to be, in the order in which Lightning does things in one step with automatic optimization::

    optimizer.step                        called first; everything up to the update is inside
        training_step, backward           on_before_backward: the loss, divided by the number of micro-batches, and
                                          multiplied by the gradient scaler's scale
        on_before_optimizer_step          gradients unscaled, not clipped: measure here, learning rate on
        clipping, update
    strategy.optimizer_step returns       learning rate off, act
    the schedulers that step per step
    on_train_batch_end                    too late: the schedulers have seen the wrong learning rate

Lightning has no hook between the update and the schedulers. Torch's hook after an optimizer's step does not run when
a gradient scaler skips it. So the callback wraps ``strategy.optimizer_step`` while it trains.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainguard.guard import Guard
from trainguard.integrations.harness import Harness

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("this callback needs Lightning: pip install 'trainguard[lightning]'") from error


class GuardCallback(Callback):
    """Guards the training of a `lightning.pytorch.Trainer`.

    ::

        trainer = Trainer(callbacks=[GuardCallback(run_dir="runs/a")])

    Takes the keywords of `Guard`, except those that the trainer knows. The metrics that you log in validation are
    observed; the guard's state goes into the trainer's checkpoints and comes back with ``ckpt_path=``. A rule that
    stops the run sets ``trainer.should_stop``.

    One optimizer only: several, in manual optimization, raise ValueError when training begins.
    """

    def __init__(self, **options: Any) -> None:
        self._harness = Harness(options)
        self._scaler: Any = None

    @property
    def guard(self) -> Guard | None:
        """The guard of the training, or of the last one; None before the first."""
        return self._harness.guard

    def note(
        self, *, logits: Tensor | None = None, targets: Tensor | None = None, groups: Tensor | None = None
    ) -> None:
        """In ``training_step``: hand over what the signals of predictions look at, as to `Guard.step`."""
        self._harness.note(logits, targets, groups)

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        if len(trainer.optimizers) != 1:
            raise ValueError(f"the module has {len(trainer.optimizers)} optimizers, wanted one for a GuardCallback")
        self._scaler = getattr(trainer.precision_plugin, "scaler", None)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        self._harness.open(pl_module, trainer.optimizers[0], scheduler=schedulers or None, scaler=self._scaler)
        self._harness.wrap(trainer.strategy, "optimizer_step", self._stepping)

    def on_before_backward(self, trainer: Any, pl_module: nn.Module, loss: Tensor) -> None:
        if self._scaler is not None:
            loss = loss.detach() / self._scaler.scale(torch.ones_like(loss))
        self._harness.add_loss(loss)

    def on_before_optimizer_step(self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer) -> None:
        self._harness.before_step(trainer.current_epoch)

    def _stepping(self, optimizer_step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(optimizer_step)
        def step(*args: Any, **kwargs: Any) -> Any:
            result = optimizer_step(*args, **kwargs)
            self._harness.after_step()
            return result

        return step

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._harness.stopped:
            trainer.should_stop = True

    def on_validation_batch_end(self, trainer: Any, pl_module: nn.Module, *_: Any) -> None:
        self._harness.heartbeat()

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        if not trainer.sanity_checking:
            self._harness.observe(trainer.callback_metrics)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        self._harness.close()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        self._harness.close(exception)

    def state_dict(self) -> dict[str, Any]:
        return self._harness.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._harness.load_state_dict(state_dict)
