"""The published guards of the rescue benchmark fire where their projects say, and are blind where those are."""

import random
from pathlib import Path
from statistics import fmean, pstdev, stdev

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


@pytest.mark.parametrize("odd", [100.0, NAN])
def test_olmo_is_not_active_before_64_values(odd: float):
    losses, band = base(64), Band()
    losses[40] = odd
    assert all(map(band.allows, losses))


@pytest.mark.parametrize(("sigmas", "allowed"), [(5.99, True), (6.01, False)])
def test_olmo_allows_six_sample_deviations_of_the_128_before(sigmas: float, allowed: bool):
    losses, band = base(200), Band()
    for loss in losses:
        band.allows(loss)
    window = losses[-128:]
    assert band.allows(fmean(window) + sigmas * stdev(window)) is allowed


@pytest.mark.parametrize(("jump", "fires"), [(2.0, False), (2.96, False), (3.1, True)])
def test_lightning_wants_twice_the_mean_above_it(jump: float, fires: bool):
    losses = base(100)
    losses[50] = jump * 2.5
    assert firings(LightningSpike(), losses) == ([50] if fires else [])


def test_lightning_takes_the_mean_of_the_last_ten_and_wants_a_loss_worse_than_the_last():
    assert firings(LightningSpike(), [100.0] * 50 + [1.0] * 10 + [3.0, 2.9]) == [60]
    assert firings(LightningSpike(), [100.0] * 50 + [1.0] * 9 + [3.0]) == []
    assert firings(LightningSpike(), [1.0, 3.0]) == [1]  # from the second loss on


def test_lightning_fires_on_a_loss_that_is_no_number():
    assert firings(LightningSpike(), [2.5, 2.4, NAN]) == [2]


@pytest.mark.parametrize(("start", "length", "height", "fires"), [(150, 20, 2.4, True), (150, 3, 20.0, False)])
def test_kill_loss_spike_wants_five_in_a_row(start: int, length: int, height: float, fires: bool):
    losses = base(300)
    losses[start : start + length] = [height * 2.5] * length
    assert bool(firings(KillLossSpike(300), losses)) is fires


@pytest.mark.parametrize(("length", "fires"), [(4, []), (5, [154])])
def test_kill_loss_spike_has_a_patience_of_four(length: int, fires: list[int]):
    losses = [1.0] * 150 + [3.0] * length + [1.0] * 50
    assert firings(KillLossSpike(300), losses) == fires


def test_kill_loss_spike_wants_a_full_window_of_five_percent_of_the_run():
    assert firings(KillLossSpike(300), [1.0] * 99 + [3.0] * 5) == []
    assert firings(KillLossSpike(300), [1.0] * 100 + [3.0] * 5) == [104]
    assert firings(KillLossSpike(4000), [1.0] * 199 + [3.0] * 5) == []
    assert firings(KillLossSpike(4000), [1.0] * 200 + [3.0] * 5) == [204]


@pytest.mark.parametrize(
    ("largest", "usual", "level", "fires"), [(3, 2, 3.5, 250), (3, 2, 2.9, None), (30, 6, 11, 250), (30, 6, 9, None)]
)
def test_kill_loss_spike_knows_losses_that_stay_high(largest: float, usual: float, level: float, fires: int | None):
    """Above 10, or above the largest of the first 100, for half of the last 100."""
    losses = [largest, *[usual] * 199, *[level] * 100]
    assert next(iter(firings(KillLossSpike(300), losses)), None) == fires


def test_kill_loss_spike_knows_high_losses_after_two_windows_only():
    assert firings(KillLossSpike(300), [12.0] * 250) == list(range(200, 250))


def test_kill_loss_spike_is_blind_for_spikes_after_a_nan():
    losses = base(300)
    losses[145] = NAN
    losses[150:210] = [3.6 * 2.5] * 60
    assert firings(KillLossSpike(300), losses)[0] == 200  # 50 steps late: by then half of the window is high
    losses[190:210] = [2.5] * 20
    assert firings(KillLossSpike(300), losses) == []


@pytest.mark.parametrize(("jump", "fires"), [(25.0, False), (100.0, False), (109.0, True)])
def test_megatron_compares_with_the_largest_of_the_first_hundred(jump: float, fires: bool):
    losses = [10.8 - 8.3 * step / 300 for step in range(300)] + [jump]
    assert firings(MegatronSpiky(), losses) == ([300] if fires else [])


def test_megatron_takes_the_size_of_a_hundred_losses_and_no_more():
    assert firings(MegatronSpiky(), [1.0] * 99 + [-2.0, 19.9, 20.0, 20.0]) == [101, 102]
    assert firings(MegatronSpiky(), [1.0] * 99 + [50.0]) == []
    assert firings(MegatronSpiky(), [1.0] * 50 + [NAN]) == [50]


def test_zclip_has_the_numbers_of_its_paper():
    """Mean 1 and deviation 0.1 of 24 norms and a 25th; z = 5: clipped to mean + 2.5 deviations / 2, which it learns."""
    score = ZScore()
    norms = [0.9, 1.1] * 12 + [1.0]
    for norm in norms:
        assert score.limit(norm) == norm
    mean, deviation = fmean(norms), pstdev(norms)
    norm = mean + 5 * (deviation + 1e-6)
    clipped = mean + 2.5 * deviation / 2
    assert score.limit(norm) == pytest.approx(clipped)
    learned = 0.97 * mean + 0.03 * clipped
    variance = 0.97 * deviation**2 + 0.03 * (clipped - learned) ** 2  # about the mean as it is by now
    edge = learned + 2.5 * (variance**0.5 + 1e-6)
    assert score.limit(edge - 1e-4) == edge - 1e-4


@pytest.mark.parametrize("guard", ["zclip", "clip_grad_norm"])
def test_a_gradient_norm_is_at_most_one(guard: str, tmp_path: Path):
    made = training()
    before = torch.cat([parameter.detach().flatten() for parameter in made.model.parameters()])
    with all_guards()[guard].watch(made, tmp_path) as watch:
        for parameter in made.model.parameters():
            parameter.grad = torch.full_like(parameter, 10.0)
        watch.step(1, torch.tensor(1.0), torch.zeros(1), torch.zeros(1))
    after = torch.cat([parameter.detach().flatten() for parameter in made.model.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.1 * 1.0, rel=1e-4)
    assert watch.acted == []


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


def walk(watch: Watch, losses: list[float], begin: int = 1) -> None:
    parameter = next(watch.training.model.parameters())
    for step, loss in enumerate(losses, begin):
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


def test_dlib_looks_each_50_steps_and_grows_stricter_with_each_reload(tmp_path: Path):
    """0.99, 0.999, 0.9999, 0.99999; there a reload costs nine tenths of the learning rate as well."""
    made = training()
    with all_guards()["dlib_slope"].watch(made, tmp_path) as watch:
        for reload in range(1, 5):
            walk(watch, [NAN] * 50, begin=50 * reload - 49)
            before = made.model.weight.clone()
            walk(watch, [1.0], begin=50 * reload + 1)  # of the next 50, as it were
            moved = float((before - made.model.weight)[0, 0].detach())
            assert moved == pytest.approx(0.1 if reload < 4 else 0.01, rel=1e-4)
    assert watch.acted == [50, 100, 150, 200]
    assert made.optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(("chance", "reloads"), [(0.985, 0), (0.995, 1)])
def test_dlib_reloads_above_a_probability_of_99_percent(chance: float, reloads: int, tmp_path: Path):
    made = training()
    noise = [(-1.0) ** step for step in range(50)]
    low, high = 0.0, 1.0
    for _ in range(60):  # the slope at which these 50 losses rise with that probability
        slope = (low + high) / 2
        probability = probability_of_rise([1.0 + each + slope * i for i, each in enumerate(noise)])
        low, high = (slope, high) if probability < chance else (low, slope)
    with all_guards()["dlib_slope"].watch(made, tmp_path) as watch:
        walk(watch, [1.0 + each + low * i for i, each in enumerate(noise)])
    assert len(watch.acted) == reloads


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
