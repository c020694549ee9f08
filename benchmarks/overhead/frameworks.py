"""A framework's own loop, a step at a time: Lightning, which logs loss and gradient norm in each step to a CSV file.

Its loop calls for batches and does not let itself be called. So it runs in a thread of its own, and gets a batch when
a step is to be made; handing over takes some ten microseconds, which are timed with it.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import torch
from torch import nn

from benchmarks.overhead.models import Workload


class Turnstile:
    """Lets a loop in another thread through, a batch at a time, and waits until it asks for the next."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._wanted, self._given = Semaphore(0), Semaphore(0)
        self._closed = False

    def __iter__(self) -> Iterator[Any]:
        while True:
            self._wanted.release()
            self._given.acquire()
            if self._closed:
                return
            yield self._batch

    def step(self) -> None:
        self._given.release()
        self._wanted.acquire()

    def close(self) -> None:
        self._closed = True
        self._given.release()

    def wait(self) -> None:
        """Until the loop asks for its first batch."""
        self._wanted.acquire()


@contextmanager
def lightning(workload: Workload, folder: Path, max_norm: float) -> Iterator[Callable[[], None]]:
    """The usual loop in Lightning's words."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.utilities import grad_norm

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = workload.model()

        def training_step(self, batch: Any) -> Any:
            x, y = batch
            loss = nn.functional.cross_entropy(self.model(x).flatten(0, -2), y.flatten())
            self.log("loss", loss)
            return loss

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.log("grad_norm", grad_norm(self, 2)["grad_2.0_norm_total"])

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-4)

    turnstile = Turnstile(workload.batch())
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = Trainer(
        logger=CSVLogger(folder),
        log_every_n_steps=1,
        gradient_clip_val=max_norm,
        max_epochs=1,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread = Thread(target=trainer.fit, args=(Module(), turnstile), daemon=True)
        thread.start()
        turnstile.wait()
        turnstile.step()  # it fetches a batch ahead
        yield turnstile.step
        turnstile.close()
        thread.join()
