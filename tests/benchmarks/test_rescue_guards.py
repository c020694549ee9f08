"""The published guards of the rescue benchmark fire where their projects say, and are blind where those are."""

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.rescue.catalogue import all_guards
from benchmarks.rescue.guards.dlib_slope import probability_of_rise
from benchmarks.rescue.guards.kill_loss_spike import KillLossSpike
from benchmarks.rescue.guards.lightning_spike import LightningSpike
from benchmarks.rescue.guards.megatron_spiky import MegatronSpiky
from benchmarks.rescue.guards.olmo_skip_step import Band
from benchmarks.rescue.guards.zclip import ZScore
from benchmarks.rescue.stopping import Detector
from benchmarks.rescue.training import Training, Watch

NAN = float("nan")


def base(steps: int, seed: int = 1) -> list[float]:
    """A loss of 2.5 with a little noise."""
    rng = random.Random(seed)
    return [rng.gauss(2.5, 0.05) for _ in range(steps)]


def firings(detector: Detector, losses: list[float]) -> list[int]:
    return [step for step, loss in enumerate(losses) if detector.fires(loss)]


def test_olmo_skips_a_nan_and_the_128_steps_after_it():
    losses, band = base(600), Band()
    losses[300] = NAN
    skipped = [step for step, loss in enumerate(losses) if not band.allows(loss)]
    assert skipped == list(range(300, 429))


def test_olmo_does_not_see_a_second_spike_behind_a_first():
    losses, band = base(600), Band()
    losses[300], losses[320], losses[350], losses[430] = 20.0, 5.0, 5.0, 5.0
    assert [step for step, loss in enumerate(losses) if not band.allows(loss)] == [300, 430]


def test_olmo_is_not_active_before_64_values():
    losses, band = base(64), Band()
    losses[40] = 100.0
    assert all(map(band.allows, losses))


@pytest.mark.parametrize(("jump", "fires"), [(2.0, False), (2.96, False), (3.1, True)])
def test_lightning_wants_twice_the_mean_above_it(jump: float, fires: bool):
    losses = base(100)
    losses[50] = jump * 2.5
    assert firings(LightningSpike(), losses) == ([50] if fires else [])


def test_lightning_fires_on_a_loss_that_is_no_number():
    assert firings(LightningSpike(), [2.5, 2.4, NAN]) == [2]


@pytest.mark.parametrize(("start", "length", "height", "fires"), [(150, 20, 2.4, True), (150, 3, 20.0, False)])
def test_kill_loss_spike_wants_five_in_a_row(start: int, length: int, height: float, fires: bool):
    losses = base(300)
    losses[start : start + length] = [height * 2.5] * length
    assert bool(firings(KillLossSpike(300), losses)) is fires


def test_kill_loss_spike_is_blind_after_a_nan():
    losses = base(300)
    losses[145] = NAN
    losses[150:210] = [3.6 * 2.5] * 60
    assert firings(KillLossSpike(300), losses) == []


@pytest.mark.parametrize(("jump", "fires"), [(25.0, False), (100.0, False), (109.0, True)])
def test_megatron_compares_with_the_largest_of_the_first_hundred(jump: float, fires: bool):
    losses = [10.8 - 8.3 * step / 300 for step in range(300)] + [jump]
    assert firings(MegatronSpiky(), losses) == ([300] if fires else [])


def test_zclip_clips_an_outlier_and_learns_what_it_clipped_to():
    score, rng = ZScore(), random.Random(0)
    norms = [rng.gauss(1.0, 0.1) for _ in range(200)]
    assert [norm for norm in norms[:25] if score.limit(norm) != norm] == []
    for norm in norms[25:]:
        score.limit(norm)
    limit = score.limit(50.0)
    assert 0.95 < limit < 1.1  # mean + 2.5 std / (z / 2.5): hardly above the mean for a z of hundreds
    assert score.limit(1.05) == 1.05


def test_a_nan_leaves_zclip_without_a_limit():
    score = ZScore()
    for norm in [1.0, 1.1] * 20:
        score.limit(norm)
    score.limit(NAN)
    assert score.limit(1000.0) == 1000.0


@pytest.mark.parametrize(("slope", "low", "high"), [(0.01, 0.999, 1.0), (0.0, 0.02, 0.98), (-0.01, 0.0, 0.001)])
def test_dlib_tells_a_slope_from_noise(slope: float, low: float, high: float):
    losses = [loss + slope * step for step, loss in enumerate(base(100))]
    assert low <= probability_of_rise(losses) <= high


def training(steps: int = 100) -> Training:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Training(
        model=model,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
        batches=iter(()),
        criterion=nn.MSELoss(),
        validate=lambda: 0.0,
        switch=lambda x, y: (x, y),
        steps=steps,
    )


def walk(watch: Watch, losses: list[float]) -> None:
    parameter = next(watch.training.model.parameters())
    for step, loss in enumerate(losses, 1):
        parameter.grad = torch.ones_like(parameter)
        watch.step(step, torch.tensor(loss), torch.zeros(1), torch.zeros(1))


def test_dlib_goes_back_to_what_it_saved_last(tmp_path: Path):
    made = training()
    with all_guards()["dlib_slope"].watch(made, tmp_path) as watch:
        walk(watch, [1.0 - step / 100 for step in range(50)])
        saved = made.model.weight.clone()
        walk(watch, [NAN] * 50)
    assert watch.acted == [50]
    assert torch.equal(made.model.weight, saved)


def test_reduce_on_plateau_cuts_to_a_tenth_after_ten_epochs_without_gain(tmp_path: Path):
    made = training()
    with all_guards()["reduce_lr_on_plateau"].watch(made, tmp_path) as watch:
        walk(watch, [1.0] * 20 * 12)
    assert watch.acted == [240]
    before = made.model.weight.clone()
    walk(watch, [1.0])
    assert torch.allclose(before - made.model.weight, torch.full_like(before, 0.01), atol=1e-5)
    assert made.optimizer.param_groups[0]["lr"] == 0.1


def test_a_stopper_stops_before_the_update(tmp_path: Path):
    made = training()
    with all_guards()["megatron_spiky"].watch(made, tmp_path) as watch:
        walk(watch, [1.0, NAN][:1])
        before = made.model.weight.clone()
        walk(watch, [NAN])
    assert watch.stopped
    assert torch.equal(before, made.model.weight)


def test_skip_step_leaves_the_weights(tmp_path: Path):
    made = training()
    with all_guards()["olmo_skip_step"].watch(made, tmp_path) as watch:
        walk(watch, base(100))
        before = made.model.weight.clone()
        walk(watch, [50.0])
    assert watch.wasted == 1
    assert torch.equal(before, made.model.weight)
