"""The budget: cadences that fit, and a guard that keeps to its share."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.support import Monitor, Run
from trainguard import Guard
from trainguard.clock import Clock
from trainguard.faults import Faults
from trainguard.measuring.budget import AT_LEAST, FIRST, LONGEST, Budget, allot
from trainguard.measuring.meter import Duty, Meter
from trainguard.measuring.overhead import Cost, Overhead
from trainguard.signals.base import Sensor, StepView, Value

STEP = 2.5e-3


class World:
    """A clock that goes on when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(ticks=lambda: self.now)


class Busy(Sensor):
    """Works so many seconds on each signal that is due, and ten times as long the first time."""

    def __init__(self, world: World, name: str, every: int, seconds: float) -> None:
        self._world, self._seconds = world, seconds
        self.name, self.signals = name, {name: every}
        self.steps: list[int] = []

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        self._world.now += self._seconds * (1 if self.steps else 10)
        self.steps.append(view.step)
        return {self.name: 1.0}


def duty(name: str, wanted: int, seconds: float) -> Duty:
    made = Duty(Busy(World(), name, wanted, seconds), frozenset({name}), wanted)
    made.cost.learn(seconds)
    return made


DUTIES = st.lists(
    st.builds(
        duty,
        st.sampled_from(["loss", "grad_norm", "confidence", "rms_ratio", "dead_units", "param_norm"]),
        st.sampled_from([1, 2, 10, 100, 250]),
        st.floats(0, 1e-2),
    ),
    min_size=1,
    max_size=8,
)


@given(DUTIES, st.floats(1e-6, 1e-3), st.floats(0, 1e-4))
def test_what_is_allotted_fits(duties: list[Duty], available: float, per_sample: float) -> None:
    """Never oftener than wanted, never above what there is, and no sample for the sake of one duty."""
    cadences = allot(duties, available, per_sample)
    assert all(every >= each.wanted for every, each in zip(cadences, duties, strict=True))
    wanted = sum(each.cost.seconds / each.wanted for each in duties)
    wanted += per_sample / min((each.wanted for each in duties), default=1)
    if wanted <= available:
        assert cadences == [each.wanted for each in duties]
        return
    base = min(cadences)
    assert all(every % base == 0 for every in cadences)
    taken = per_sample / base + sum(each.cost.seconds / every for each, every in zip(duties, cadences, strict=True))
    limits = [max(AT_LEAST, each.wanted) if each.names & FIRST else LONGEST for each in duties]
    at_limit = any(every > limit - base for every, limit in zip(cadences, limits, strict=True))
    assert at_limit or taken <= available * (1 + 1e-9)


def test_first_things_first() -> None:
    """What most rules look at keeps its half, whatever the others would like."""
    duties = [duty("dead_units", 100, 5e-3), duty("loss", 1, 5e-6), duty("confidence", 1, 5e-5)]
    assert allot(duties, 25e-6, per_sample=5e-6) == [667, 1, 7]
    assert allot(duties, 25e-6, per_sample=45e-6) == [800, 4, 8]
    assert allot(duties, 1.0, per_sample=5e-6) == [100, 1, 1]
    assert allot(duties, -1.0, per_sample=5e-6) == [LONGEST, AT_LEAST, LONGEST]
    assert allot([duty("loss", 250, 1.0)], -1.0, per_sample=5e-6) == [250]
    assert allot([], 1.0, per_sample=5e-6) == []


def test_a_cost_is_the_median_of_three_means() -> None:
    """The lower of two: what is done for the first time takes longer."""
    cost = Cost()
    assert cost.seconds == 0
    for mean, expected in ((10.0, 10.0), (1.0, 1.0), (2.0, 2.0), (50.0, 2.0), (3.0, 3.0)):
        cost.add(mean / 2)
        cost.add(mean * 1.5)
        cost.settle()
        assert cost.seconds == expected
    cost.settle()
    assert cost.seconds == 3.0


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_a_share_is_kept_to(share: float) -> None:
    """Over a long run of short steps, the first ones apart; and all of the share is used."""
    world = World()
    sensors = [
        Busy(world, "loss", 1, 2e-6),
        Busy(world, "grad_norm", 1, 60e-6),
        Busy(world, "confidence", 1, 30e-6),
        Busy(world, "rms_ratio", 10, 200e-6),
        Busy(world, "dead_units", 100, 3e-3),
        Busy(world, "param_norm", 100, 1e-3),
    ]
    meter = Meter(sensors, {}, clock=world.clock, faults=Faults())
    overhead = Overhead()
    budget = Budget(share, meter, overhead, meter.rearrange)
    idle, sample = 2e-6, 20e-6

    def work(seconds: float, cost: Cost | None = None) -> None:
        world.now += seconds
        if cost is not None:
            cost.add(seconds)

    meter.arm(1)
    taken = 0.0
    for step in range(1, 20_001):
        began = world.now
        meter.begin(StepView(step=step))
        if meter.finish(StepView(step=step)):
            work(sample, overhead.publishing)
        work(idle)
        budget.look()
        meter.arm(step + 1)
        own = world.now - began
        taken += own if step > 5000 else 0.0
        work(STEP - own)
        overhead.add(own, STEP)
    assert 0.6 * share < taken / (15_000 * STEP) < 1.05 * share
    assert overhead.ratio == pytest.approx(taken / (15_000 * STEP), rel=0.5)
    assert len(sensors[0].steps) > len(sensors[4].steps) > 3


def test_duties_of_one_sensor_pay_for_themselves() -> None:
    """What a sensor takes when two of its signals are due is told apart by the steps with only one of them."""
    world = World()

    class Two(Sensor):
        name = "two"
        signals = {"often": 1, "seldom": 10}  # noqa: RUF012

        def after_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
            world.now += 1e-5 + ("seldom" in due) * 1e-3
            return dict.fromkeys(due, 1.0)

    meter = Meter([Two()], {}, clock=world.clock, faults=Faults())
    for step in range(1, 41):
        meter.arm(step)
        meter.begin(StepView())
        assert meter.finish(StepView()) == dict.fromkeys({"often", "seldom"} if step % 10 == 0 else {"often"}, 1.0)
    assert meter.settle() == pytest.approx(40 * 1e-5 + 4 * 1e-3)
    assert [each.cost.seconds for each in meter.duties] == pytest.approx([1e-5, 1e-3])


def test_a_guard_with_a_budget(run_dir: Path, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples get fewer, all signals are still seen, and what the monitor asks for is done.

    By a clock on which a look takes a microsecond, and so does what lies between two, and a step 2.5 milliseconds.
    """
    world = World()

    def ticks() -> float:
        world.now += 1e-6
        return world.now

    for module in ("wiring", "signals.hooks"):
        monkeypatch.setattr(f"trainguard.{module}.Clock", lambda: Clock(ticks=ticks))
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, budget=0.004) as guard:
        for step in range(1, 601):
            if step == 401:
                monitor.ask(("scale_lr", {"factor": 0.5}))
            run.train(guard)
            world.now += STEP
        assert guard.errors == {}
        assert 0.002 < guard.last["overhead_ratio"] < 0.005
    samples = monitor.samples()
    assert 100 < len(samples) < 400
    assert {"loss", "grad_norm", "lr", "confidence", "overhead_ratio"} <= {name for s in samples for name in s.values}
    assert all(set(sample.values) & FIRST for sample in samples)
    assert monitor.last_ack().status == "applied"
    read = next(sample.step + 1 for sample in samples if sample.step >= 400)  # control is, in the step after a sample
    assert monitor.last_ack().step == read + 1


def test_a_guard_without_one_says_what_it_takes(run_dir: Path, monitor: Monitor) -> None:
    """The share of the time, each tenth step."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        run.train(guard, 20)
    assert [sample.step for sample in monitor.samples() if "overhead_ratio" in sample.values] == [10, 20]
    assert all(0 < ratio < 1 for ratio in monitor.series("overhead_ratio"))
