"""The pack `stability`: acts on what no healthy run does, and on nothing else. (Recorded runs: test_healthy_runs.)"""

import math
import random

import pytest

from tests.support.telemetry import ScriptedTrainer
from trainguard_rules import load_rules
from trainguard_wire import Verification

BOOK = load_rules(["stability"])
REMEDY = ["restore_checkpoint", "skip_steps", "scale_lr"]
OF_A_CLIMB = ["restore_checkpoint", "scale_lr"]


def trainer(steps=300, level=2.5, noise=0.05, seed=0, decay=0.0):
    """A healthy beginning with a checkpoint every 50 steps."""
    t = ScriptedTrainer(BOOK, delay=3, changes={"scale_lr": (0.1, 0.05)})
    t.rng = random.Random(seed)
    return go_on(t, (t.rng.gauss(level * math.exp(-decay * step), noise) for step in range(steps)))


def go_on(t, losses, lr=None):
    for i, loss in enumerate(losses):
        if t.step % 50 == 0:
            t.checkpoint()
        t.sample({"loss": loss, "grad_norm": 1.0} | ({} if lr is None else {"lr": lr(i)}))
    return t


def noisy(t, level, steps, noise=0.05):
    return (t.rng.gauss(level, noise) for _ in range(steps))


def helped(t):
    return [(v.rule, v.helped) for v in t.of(Verification)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_acted_on_at_once(bad):
    """Restore and halve, on the sample itself; one intervention for one bad value, which is seen to have helped."""
    t = trainer()
    t.sample({"loss": bad, "grad_norm": 1.0})
    assert t.kinds() == [("LossNotFinite", REMEDY)]
    assert t.interventions[0].step == 301
    go_on(t, noisy(t, 2.5, 100))
    assert len(t.interventions) == 1
    assert helped(t) == [("LossNotFinite", True)]


def test_a_loss_that_stays_no_number_ends_the_run():
    """Restored weights at half the rate, and still not ten numbers in a row within 50 steps: stop."""
    t = trainer()
    while "stop" not in {a.kind for i in t.interventions for a in i.actions}:
        t.sample({"loss": math.nan, "grad_norm": math.nan})
    assert helped(t) == [("LossNotFinite", False)]
    assert 350 < t.step < 450


@pytest.mark.parametrize("times", [1, 3, 5])
def test_overflowing_gradients_of_mixed_precision_are_left_alone(times):
    """A loss scaler finds its scale by trying: single gradients overflow, and the step is skipped."""
    t = trainer()
    for _ in range(5):
        for _ in range(times):
            t.sample({"loss": 2.5, "grad_norm": math.inf})
        go_on(t, noisy(t, 2.5, 50))
    assert t.interventions == []


def test_gradients_that_never_recover_are_acted_on():
    """Six in a row."""
    t = trainer()
    for _ in range(6):
        t.sample({"loss": 2.5, "grad_norm": math.nan})
    assert t.kinds() == [("GradientNotFinite", REMEDY)]


@pytest.mark.parametrize("factor", [1.8, 2.0, 2.4, 3.0, 4.0, 100.0])
def test_a_loss_that_stays_far_up_is_acted_on_within_five_steps(factor):
    """A plateau of 1.8 times the level is enough, at any height. The restore brings the loss back: it helped."""
    t = trainer()
    go_on(t, [2.5 * factor] * 8)
    assert [i.step for i in t.interventions] == [305]
    assert t.kinds() == [("LossFarAboveBaseline", REMEDY)]
    go_on(t, noisy(t, 2.5, 300))
    assert len(t.interventions) == 1
    assert helped(t) == [("LossFarAboveBaseline", True)]


@pytest.mark.parametrize("noise", [0.05, 0.25, 0.5])
def test_a_jump_in_noise(noise):
    """A plateau at 2.4 times the level is caught at a noise of a fifth of the level too."""
    t = trainer(noise=noise)
    go_on(t, noisy(t, 6.0, 40, noise))
    assert t.kinds()[0] == ("LossFarAboveBaseline", REMEDY)


def test_a_single_bad_batch_is_not_acted_on():
    """One spike, even a huge one, passes by itself; neither does it hide the next."""
    t = trainer()
    for _ in range(5):
        go_on(t, [500.0, *noisy(t, 2.5, 15)])
    assert t.interventions == []
    go_on(t, [5.0] * 6)
    assert len(t.interventions) == 1


def cuts(t):
    return [a.params for i in t.interventions for a in i.actions if a.kind == "scale_lr"]


def test_what_does_not_help_is_said_and_comes_back_by_itself():
    """Restored weights whose loss is as high: the learning rate was not to blame, and no cut of it lasts."""
    t = trainer()
    go_on(t, noisy(t, 6.0, 70))
    assert helped(t)[0] == ("LossFarAboveBaseline", False)
    assert all(cut["recover_over"] == 100 for cut in cuts(t))


def test_a_new_level_that_is_held_becomes_normal():
    """Not frozen for ever by data that changed: after a few attempts it has learned the new level."""
    t = trainer()
    go_on(t, noisy(t, 6.0, 1200))
    acted = len(t.interventions)
    assert acted <= 10
    go_on(t, noisy(t, 6.0, 1000))
    assert len(t.interventions) == acted
    assert not t.engine.busy


def warmed_up(t, losses, rates):
    """A run whose rate is reported, in noise."""
    for loss, lr in zip(losses, rates, strict=True):
        if t.step % 50 == 0:
            t.checkpoint()
        t.sample({"loss": t.rng.gauss(loss, 0.05), "grad_norm": 1.0, "lr": lr})


def test_a_rate_that_jumped_is_set_back_to_what_it_was():
    """Thirty times too high, to a plateau of no great height: nothing but the rate tells. The loss goes back."""
    t = trainer(0)
    warmed_up(t, [2.5] * 300 + [3.0] * 8, [0.1] * 300 + [3.0] * 8)
    [intervention] = t.interventions
    assert (intervention.rule, intervention.step) == ("LearningRateJumped", 303)
    assert intervention.actions[1].params == {"lr": 0.1, "hold": False}
    warmed_up(t, [2.5] * 100, [0.1] * 100)
    assert helped(t) == [("LearningRateJumped", True)]
    assert len(t.interventions) == 1


def test_a_rate_that_creeps_up_is_halved_once_the_loss_follows():
    t = trainer(0)
    rates = [0.1] * 300 + [0.1 * 1.01**k for k in range(150)]
    warmed_up(t, [2.5] * 350 + [2.5 + 0.02 * k for k in range(100)], rates)
    assert t.interventions[0].rule == "LearningRateTooHigh"
    assert t.interventions[0].actions[1].params["lr"] < rates[t.interventions[0].step - 1] / 2


@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_a_rate_that_rises_is_left_alone_while_the_loss_falls(factor):
    """A warm-up, even one that begins after a long time at a small rate."""
    t = trainer(0)
    rates = [0.1 / factor] * 300 + [min(0.1, 0.1 / factor + 0.001 * k) for k in range(300)]
    warmed_up(t, [2.5 - 0.002 * k for k in range(600)], rates)
    assert t.interventions == []


def test_a_rate_that_is_too_high_is_halved_until_it_is_not():
    """Each restore works for 20 steps, then the loss is up again: a halving each time, and none is taken back."""
    t = trainer()
    for _ in range(3):
        go_on(t, noisy(t, 7.5, 60))
        go_on(t, noisy(t, 2.5, 20))
    assert [a.kind for i in t.interventions for a in i.actions].count("restore_checkpoint") >= 3
    go_on(t, noisy(t, 2.5, 500))
    assert helped(t)[-1] == ("LossFarAboveBaseline", True)


@pytest.mark.parametrize(("rate", "noise", "steps"), [(3e-3, 0.05, 280), (3e-3, 0.3, 400), (1e-3, 0.05, 480)])
def test_a_slow_climb_is_caught(rate, noise, steps):
    """0.3 % a step, in little noise and much, and 0.1 %: acted on while the loss has not doubled, or little more."""
    t = trainer(500, noise=noise)
    go_on(t, (t.rng.gauss(2.5 * math.exp(rate * k), noise) for k in range(steps)))
    assert t.kinds()[0] == ("LossClimbing", OF_A_CLIMB)


def test_a_climb_that_goes_on_is_answered_again():
    """Its escalation: another restore and halving. Never a stop."""
    t = trainer(500)
    go_on(t, (t.rng.gauss(2.5 * math.exp(2e-3 * k), 0.05) for k in range(800)))
    assert "escalate" in "".join(i.id for i in t.interventions)
    assert "stop" not in {a.kind for i in t.interventions for a in i.actions}


@pytest.mark.parametrize("level", [1.1, 1.3, 1.5, 1.7])
def test_a_switch_of_the_data_mix_is_left_alone(level):
    """Up at once, by up to 70 %, and slowly down again."""
    t = trainer(500)
    go_on(t, (t.rng.gauss(2.5 * level - 0.2 * (1 - math.exp(-k / 200)), 0.05) for k in range(1500)))
    assert t.interventions == []


def test_what_the_schedule_does_is_left_alone():
    """A restart of the learning rate that doubles a tiny loss for a while, and a warm-up that makes it climb."""
    t = go_on(trainer(0), (0.01 * math.exp(-k / 200) for k in range(500)), lambda k: 0.3 * math.exp(-k / 50))
    go_on(t, (0.05 * math.exp(-k / 30) for k in range(300)), lambda k: 0.3 * math.exp(-k / 50))
    assert t.interventions == []
    t = go_on(trainer(400), (2.5 + 1.5 * k / 400 for k in range(400)), lambda k: 0.01 + 0.3 * k / 400)
    assert t.interventions == []


@pytest.mark.parametrize(
    "healthy",
    [
        lambda: trainer(5000),
        lambda: trainer(2000, level=2.5, noise=0.5),
        lambda: trainer(2000, decay=0.003, noise=0.02),
        lambda: trainer(2000, level=-10.0, noise=1.0),
        lambda: trainer(2000, level=88.0, noise=0.5),
        lambda: trainer(2000, level=0.0, noise=1e-4),
        lambda: trainer(2000, level=1e-6, noise=0.0),
    ],
    ids=["flat", "noisy", "falling", "negative", "offset", "around zero", "constant"],
)
def test_healthy_losses_of_any_kind_are_left_alone(healthy):
    """No unit of the model's is in the rules: level, sign and spread do not matter."""
    assert healthy().verdicts() == []


def test_heavy_tails_are_left_alone():
    """Student t with 2 degrees of freedom: single losses far out, never five in a row."""
    t = trainer()
    go_on(t, (2.5 + 0.05 * t.rng.gauss(0, 1) / math.sqrt(t.rng.expovariate(1.0)) for _ in range(3000)))
    assert t.interventions == []


def test_the_size_of_a_gradient_only_warns():
    """A hundred times the median for three steps: an alert, and no decision."""
    t = trainer()
    for _ in range(30):
        t.sample({"loss": 2.5, "grad_norm": t.rng.gauss(100, 1)})
    assert t.states("GradientFarAboveBaseline")[-1][1] == "firing"
    assert t.verdicts() == []
