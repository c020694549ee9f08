"""Models that ``torch.compile`` has compiled: what can be measured of them, and that they train as they would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.tools import need
from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard
from trainguard.signals.hooks import outside_compiled
from trainguard_wire.signals import SIGNALS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of torch's own, as it loads its compiler

HOOKED = {"activation_sparsity", "zero_fraction", "dead_units"} | {
    *("class_separation", "class_separation_r2", "feature_utilization", "effective_rank")
}
EVERY_STEP = dict.fromkeys(SIGNALS.keys() - HOOKED - {"overhead_ratio", "gated", "skipped"}, 1)


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch.compiler.reset()


def train(
    forward: Callable[[Run], Any], watched: Callable[[Run], nn.Module], run_dir: Path | None, **every: int
) -> Run:
    """Five steps of a run, compiled by ``forward``, with a guard on the model ``watched`` gives, if on any."""
    run = Run()
    compiled = forward(run)
    guard = run_dir and Guard(watched(run), run.optimizer, run_dir=run_dir, every={**EVERY_STEP, **every})
    for _ in range(5):
        x, y = next(run.data)
        run.optimizer.zero_grad()
        logits = compiled(x)
        loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        if guard:
            guard.step(loss, logits=logits, targets=y, groups=y // 2)
        else:
            run.optimizer.step()
    if guard:
        guard.close()
        assert guard.errors == {}
    return run


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_model_trains_as_it_would(
    backend: str, run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture
) -> None:
    """All is measured but what only hooks can see, which is said; weights are the same, bit for bit."""
    if backend == "inductor":
        need("g++")
    compiled: list[Any] = []

    def forward(run: Run) -> Any:
        compiled[:] = [torch.compile(run.model, backend=backend)]
        return compiled[0]

    plain = train(forward, lambda run: compiled[0], None)
    guarded = train(forward, lambda run: compiled[0], run_dir)
    assert_same(plain.model.state_dict(), guarded.model.state_dict())
    assert set(monitor.hello().signals) & HOOKED == set()
    assert {name for name in EVERY_STEP if len(monitor.series(name)) < 4} == set()
    assert said.messages == [
        "1 activation modules lie in compiled code, where they cannot be watched",
        "the features lie in compiled code: their signals are not measured",
    ]


def test_hooks_that_are_compiled_do_nothing(run_dir: Path, monitor: Monitor) -> None:
    """The guard gets the model as it was before: it cannot know, and its hooks are there when it is compiled."""
    plain = train(lambda run: torch.compile(run.model, backend="aot_eager"), lambda run: run.model, None)
    every = dict.fromkeys(HOOKED, 1)
    guarded = train(lambda run: torch.compile(run.model, backend="aot_eager"), lambda run: run.model, run_dir, **every)
    assert_same(plain.model.state_dict(), guarded.model.state_dict())
    assert set(monitor.hello().signals) >= HOOKED
    assert all(monitor.series(name) == [] for name in HOOKED)
    assert len(monitor.series("rms_ratio")) == 5


def test_what_lies_outside_is_seen() -> None:
    """A part that is compiled hides its insides and, compiled in place, itself."""
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.Sequential(torch.compile(inner, backend="eager"), nn.ReLU())
    assert outside_compiled(model, model.modules()) == [model, model[0], model[1]]
    model[1].compile(backend="eager")
    assert outside_compiled(model, model.modules()) == [model, model[0]]
