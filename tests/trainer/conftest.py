import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.support import Far, Monitor
from trainguard.signals.norms import GradNorms, grad_norms


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, own_threads: None) -> None:
    """No run directory from outside, and few threads: the models here are tiny."""
    monkeypatch.delenv("TRAINGUARD_RUNS", raising=False)
    torch.set_num_threads(1)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def monitor(run_dir: Path) -> Monitor:
    return Monitor(run_dir)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What trainguard warned of."""
    caplog.set_level(logging.WARNING, logger="trainguard")
    return caplog


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm is on a device, and whoever waits for it fails, the first step apart."""
    norms = []

    def measure(grads: Any) -> GradNorms:
        total = grad_norms(grads).total
        norms.append(total)
        return GradNorms(total if len(norms) <= 2 else total.as_subclass(Far), None)

    monkeypatch.setattr("trainguard.updating.update.grad_norms", measure)
