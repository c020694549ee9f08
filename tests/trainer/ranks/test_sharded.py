"""Parameters that are spread over ranks: nothing is acted upon, and no norm is that of a part."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.ranks.support import on_ranks
from tests.trainer.support import Monitor
from trainguard import Guard

NUM_STEPS = 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def loss_of(model: nn.Module) -> torch.Tensor:
    return model(torch.arange(24.0).reshape(4, 6) / 10).square().mean()


def sharded(rank: int, path: str, clips: bool) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with Guard(model, optimizer, run_dir=path, every={"confidence": 1}) as guard:
        guard.gate.configure(nonfinite=True)
        for _ in range(NUM_STEPS):
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            if clips:
                guard.clip_(1e9)
            guard.step(loss)
    return guard.errors


@pytest.mark.parametrize("clips", [True, False])
def test_norms_are_of_the_whole_or_not_there(clips: bool, run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(sharded, str(run_dir), clips)
    assert first == second == ({"ranks": 1} if clips else {"ranks": 1, "gate": NUM_STEPS})
    model = network()
    loss_of(model).backward()
    whole = math.sqrt(sum(parameter.grad.square().sum().item() for parameter in model.parameters()))
    assert monitor.series("grad_norm") == pytest.approx([whole] * (NUM_STEPS if clips else 0), rel=1e-5)
    hello = monitor.hello()
    assert hello.actions == ()
    assert "loss" in hello.signals
    assert not {"param_norm", "update_ratio", "rms_ratio", "nonfinite", "pq_index"} & set(hello.signals)
    assert not (run_dir / "checkpoints").exists() or not list((run_dir / "checkpoints").iterdir())
    assert Monitor(run_dir).records()[-1].step == NUM_STEPS
