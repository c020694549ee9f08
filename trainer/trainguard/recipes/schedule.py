"""The schedule in closed form: the learning rate is a function of the epoch and of nothing that came before.

With t in epochs, which may be a fraction, and t' = t - T_warmup, T' = T_total - T_warmup::

    t < T_warmup   start + (base - start) t / T_warmup
    cosine         min + (base - min) (1 + cos(pi t' / T')) / 2
    step           base * factor^(number of decay_epochs <= t)
    exponential    base * factor^(t' / T')
    constant       base

The first two are those of the document behind the recipe. It gives one factor, 0.1, for both step and exponential,
and no formula. Taken per epoch it would bring 0.3 under 1e-5 within five epochs, so here it is what is left of the
base at the end. No decay goes below ``min_lr``, and from T_total on the learning rate stays as it is there.
"""

import math
from typing import Literal

from trainguard.recipes.config import LargeLRConfig

Phase = Literal["warmup", "decay"]


def phase_at(config: LargeLRConfig, epoch: float) -> Phase:
    """Which half of the schedule ``epoch``, counted from 0, is in; everything after the warm-up is decay."""
    return "warmup" if epoch < config.warmup_epochs else "decay"


def lr_at(config: LargeLRConfig, epoch: float) -> float:
    """The learning rate at ``epoch``, counted from 0. Exactly start, base and min at the ends of the phases."""
    if phase_at(config, epoch) == "warmup":
        start = config.warmup_start_lr
        return start + (config.base_lr - start) * (epoch / config.warmup_epochs)
    epoch = min(epoch, config.total_epochs)
    progress = (epoch - config.warmup_epochs) / (config.total_epochs - config.warmup_epochs)
    match config.decay_type:
        case "cosine":
            return _cosine(config, progress)
        case "step":
            num_passed = sum(milestone <= epoch for milestone in config.decay_epochs)
            return max(config.min_lr, config.base_lr * config.decay_factor**num_passed)
        case "exponential":
            return max(config.min_lr, float(config.base_lr * config.decay_factor**progress))
        case "constant":
            return config.base_lr


def _cosine(config: LargeLRConfig, progress: float) -> float:
    if progress == 0.0:  # min + (base - min) may differ from base in the last bit
        return config.base_lr
    return config.min_lr + 0.5 * (config.base_lr - config.min_lr) * (1 + math.cos(math.pi * progress))
