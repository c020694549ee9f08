"""The gate: what passes, and that a dropped update leaves no trace."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.support import Monitor, Run, assert_same, far
from tests.trainer.updating.optimizers import ALL, FUSED, assert_same_run
from trainguard import Guard
from trainguard.updating.dropping import Dropping
from trainguard.updating.gate import SPAN, WARM_UP, Gate

BAD = {1: math.nan, 4: math.inf, 5: math.nan, 9: -math.inf}


def poison(run: Run, step: int) -> None:
    if step in BAD:
        run.model.layers[0].weight.grad[0, 0] = BAD[step]


def without_the_bad(make: Callable[[Any], torch.optim.Optimizer], steps: int = 12) -> Run:
    """The plain loop in which somebody sees each bad batch and does not step."""
    run = Run(make)
    for step in range(1, steps + 1):
        run.backward()
        if step not in BAD:
            run.optimizer.step()
    return run


def gated(run: Run, run_dir: Path, steps: int = 12, **options: Any) -> Guard:
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, **options) as guard:
        guard.gate.configure(nonfinite=True)
        for step in range(1, steps + 1):
            loss, logits, y = run.backward()
            poison(run, step)
            guard.step(loss, logits=logits, targets=y)
    assert guard.errors == {}
    return guard


@pytest.mark.parametrize("optimizer", ALL)
def test_a_dropped_update_leaves_no_trace(optimizer: str, run_dir: Path, monitor: Monitor) -> None:
    """Weights and optimizer state are bit for bit those of a loop that never made the bad steps."""
    run = Run(ALL[optimizer])
    guard = gated(run, run_dir)
    assert_same_run(run, without_the_bad(ALL[optimizer]))
    assert [sample.step for sample in monitor.samples() if sample.values["gated"]] == [*BAD]
    assert guard.num_steps == 12


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize("optimizer", ["sgd", *FUSED])
def test_a_dropped_update_leaves_no_trace_on_a_device(optimizer: str, run_dir: Path, monitor: Monitor) -> None:
    """Nobody waits for the verdict: a fused optimizer takes it as found_inf, another one's tensors are selected."""
    run = Run(ALL[optimizer])
    gated(run, run_dir)
    assert_same_run(run, without_the_bad(ALL[optimizer]))
    assert [sample.step for sample in monitor.samples() if sample.values["gated"]] == [*BAD]
    assert not hasattr(run.optimizer, "found_inf")
    assert not run.optimizer._optimizer_step_pre_hooks


@pytest.mark.usefixtures("on_a_device")
def test_state_that_is_counted_on_the_host_is_waited_for(run_dir: Path) -> None:
    """What the optimizer counts in Python cannot be undone on a device."""

    class Counting(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            super().step(closure)
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["count"] = self.state[parameter].get("count", 0) + 1

    run = Run(lambda parameters: Counting(parameters, lr=0.1))
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.gate.configure(nonfinite=True)
        run.train(guard, 4)
    assert guard.errors == {"gate": 2}  # two verdicts on a device, of a kind that fails whoever waits for it


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_framework_that_steps_itself(optimizer: str, run_dir: Path) -> None:
    """The gradients are gone when it comes to the optimizer, so that it writes nothing."""
    run = Run(ALL[optimizer])
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.gate.configure(nonfinite=True)
        for step in range(1, 13):
            loss, *_ = run.backward()
            poison(run, step)
            guard.before_step(loss)
            run.optimizer.step()
            guard.after_step()
    assert_same_run(run, without_the_bad(ALL[optimizer]))


def test_several_optimizers_are_dropped_together(run_dir: Path) -> None:
    """One norm over the model, one verdict."""

    def halves(run: Run) -> list[torch.optim.Optimizer]:
        first, *others = run.model.parameters()
        return [torch.optim.SGD([first], lr=0.1, momentum=0.9), torch.optim.AdamW(others, lr=0.01)]

    run = Run()
    with Guard(run.model, halves(run), run_dir=run_dir, checkpoint_every=None) as guard:
        guard.gate.configure(nonfinite=True)
        for step in range(1, 13):
            loss, *_ = run.backward()
            poison(run, step)
            guard.step(loss)
    plain = Run()
    theirs = halves(plain)
    for step in range(1, 13):
        plain.backward()
        if step not in BAD:
            for optimizer in theirs:
                optimizer.step()
    assert_same(run.model.state_dict(), plain.model.state_dict())


def test_a_gate_that_is_off_lets_everything_pass(run_dir: Path, monitor: Monitor) -> None:
    """A NaN ruins the weights as it would without a guard."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        loss, *_ = run.backward()
        poison(run, 1)
        guard.step(loss)
    assert run.model.layers[0].weight.isnan().any()
    assert "gated" in monitor.hello().signals
    assert "gated" not in monitor.samples()[0].values


def test_every_dropped_update_is_counted_once(run_dir: Path, monitor: Monitor) -> None:
    """However seldom the count is measured."""
    run = Run()
    gated(run, run_dir, every={"gated": 4})
    assert monitor.series("gated") == [2, 1, 1]
    assert [sample.step for sample in monitor.samples() if "gated" in sample.values] == [4, 8, 12]


class Reference:
    """The same verdicts in plain floats."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.total = self.weight = 0.0
        self.seen = 0

    def drops(self, norm: float) -> bool:
        bound = self.gate.max_norm or math.inf
        limit = bound
        if self.gate.factor is not None and self.seen >= WARM_UP:
            limit = min(bound, self.gate.factor * self.total / self.weight)
        if math.isfinite(norm):
            share = 2 / (SPAN + 1)
            self.total = (1 - share) * self.total + share * min(norm, limit)
            self.weight = (1 - share) * self.weight + share
            self.seen += 1
        return not (math.isfinite(norm) and norm <= limit)


NORMS = st.one_of(st.floats(0.5, 2.0), st.floats(0.0, 1e4), st.sampled_from([math.nan, math.inf]))


@given(
    st.lists(NORMS, min_size=30, max_size=80),
    st.sampled_from([None, 2.0, 10.0]),
    st.sampled_from([None, 3.0]),
    st.booleans(),
)
def test_verdicts_are_those_of_the_definition(
    norms: list[float], factor: float | None, max_norm: float | None, nonfinite: bool
) -> None:
    """On the host and on a device alike, for norms that are not at the limit to the last bit."""
    gate, there = Gate(), Gate()
    for each in (gate, there):
        each.configure(factor=factor, max_norm=max_norm, nonfinite=nonfinite)
    if not gate.is_on:
        return
    reference = Reference(gate)
    for norm in norms:
        limit = reference.total / reference.weight * (factor or 0) if reference.weight else 0
        expected = reference.drops(norm)
        verdict, same = gate.decide(torch.tensor(norm)), there.decide(far(norm))
        assert torch.equal(verdict, same.as_subclass(Tensor))
        if not math.isclose(norm, limit, rel_tol=1e-3):
            assert verdict.item() == expected


def test_an_outlier_is_dropped_and_a_rise_that_lasts_is_not() -> None:
    """A thousandfold norm moves what is usual by little; a level twenty times higher passes in the end."""
    gate = Gate()
    gate.configure(factor=3.0)

    def drops(norm: float) -> bool:
        return bool(gate.decide(torch.tensor(norm)))

    assert not any(drops(norm) for norm in [1.0] * 5 * WARM_UP)
    assert drops(1000.0)
    assert drops(3.5)
    assert not drops(2.9)
    verdicts = [drops(20.0) for _ in range(40)]
    assert verdicts[:10] == [True] * 10
    assert verdicts[-5:] == [False] * 5


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(("name", "low"), [("factor", 1), ("max_norm", 0)])
def test_a_bound_that_is_none_is_refused(name: str, low: int, bound: float) -> None:
    """And nothing is changed."""
    with pytest.raises(ValueError, match=r"factor is 1\.0, wanted a finite number above 1, or None"):
        Gate().configure(factor=1.0)
    gate = Gate()
    gate.configure(max_norm=2.0)
    with pytest.raises(ValueError, match=f"{name} is {bound}, wanted a finite number above {low}, or None"):
        gate.configure(**{name: bound})  # type: ignore[arg-type]
    assert gate.max_norm == 2.0
    gate.configure()
    assert not gate.is_on


def test_the_gate_is_part_of_the_guards_state(run_dir: Path) -> None:
    """A run that is resumed has the gate it had; a state from before there was one leaves it off."""
    run = Run()
    guard = Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None)
    guard.gate.configure(nonfinite=True, factor=5.0)
    state = guard.state_dict()
    guard.gate.configure()
    guard.load_state_dict(state)
    assert (guard.gate.nonfinite, guard.gate.factor, guard.gate.max_norm) == (True, 5.0, None)
    del state["gate"]
    guard.load_state_dict(state)
    assert not guard.gate.is_on
    guard.close()


class Elsewhere(Tensor):
    """A verdict that counts as being on a device; who waits for it is counted."""

    waited = 0

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def __bool__(self) -> bool:
        type(self).waited += 1
        return super().__bool__()


class Steps:
    """Steps of an optimizer under verdicts on a device, which drop gradients of NaN."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer, self._dropping = optimizer, Dropping([optimizer], None)

    def make(self, *gradients: float) -> list[bool]:
        """A step with each of these in all gradients; whether the host waited in it."""
        return [self._make(gradient) for gradient in gradients]

    def _make(self, gradient: float) -> bool:
        Elsewhere.waited = 0
        for parameter in self._parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        self._dropping.before(torch.tensor(float(math.isnan(gradient))).as_subclass(Elsewhere))
        if not self._dropping.known:
            self._optimizer.step()
        self._dropping.after()
        states = [tensor for state in self._optimizer.state.values() for tensor in state.values()]
        assert all(bool(tensor.isfinite().all()) for tensor in [*self._parameters(), *states])
        return Elsewhere.waited > 0

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]


@pytest.mark.parametrize("fused", [False, True], ids=["selected", "fused"])
def test_the_host_waits_where_a_parameter_has_no_state_yet(fused: bool) -> None:
    """After a restore to step 0, and for a group that was added: a dropped step would make state of its NaN."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9, fused=fused)
    steps, empty = Steps(optimizer), optimizer.state_dict()
    assert steps.make(math.nan, 1.0, math.nan, 1.0) == [True, True, False, False]
    optimizer.load_state_dict(empty)
    assert steps.make(math.nan, 1.0, math.nan) == [True, True, False]
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    assert steps.make(math.nan, 1.0, math.nan) == [True, True, False]


def test_an_optimizer_that_keeps_no_state_is_waited_for_once() -> None:
    """SGD without momentum."""
    parameter = torch.nn.Parameter(torch.ones(3))
    assert Steps(torch.optim.SGD([parameter], lr=0.1)).make(math.nan, 1.0, math.nan, 1.0) == [True, True, False, False]
    assert parameter.tolist() == pytest.approx([0.8] * 3)
