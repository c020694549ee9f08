"""`LargeLRScheduler`: the schedule of `LargeLRConfig` as a scheduler of torch.

The learning rate is computed from the position alone (`lr_at`), never from the last one, so that a run resumed at
any position has exactly the learning rates it would have had. Like every such scheduler it overwrites what another
one did: it goes into a ``SequentialLR`` at any place, but not into a ``ChainedScheduler`` after others.
"""

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainguard.arguments import check_count
from trainguard.guard import Guard
from trainguard.recipes.config import ConfigError, LargeLRConfig
from trainguard.recipes.schedule import Phase, lr_at, phase_at

# The document's keys, and the signals of the guard that have their values.
_DIAGNOSTICS = {
    "recent_sparsity": "activation_sparsity",
    "mean_confidence": "confidence",
    "compressibility": "compressibility",
    "class_separation": "class_separation",
    "feature_utilization": "feature_utilization",
    "gradient_norm": "grad_norm",
}


class LargeLRScheduler(LRScheduler):
    """Linear warm-up, then a decay; the formulas are in `trainguard.recipes.schedule`.

    ::

        scheduler = LargeLRScheduler(optimizer, LargeLRConfig(total_epochs=40))
        for epoch in range(40):
            ...
            scheduler.step()

    The config says what the learning rate of the first param group is. The groups keep the ratios that they had to
    it before, so a group with a tenth of the first's learning rate keeps a tenth. A config that is not ``enabled``
    leaves all groups as they are.

    Args:
        steps_per_epoch: for a loop that calls `step` after each optimizer step: how many make an epoch. Without it,
            `step` is called once an epoch.
        last_epoch: as in torch: the number of calls of `step` so far, less one.

    Raises TypeError and ValueError for wrong arguments, among them several groups of which the first has a learning
    rate of 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        config: LargeLRConfig | None = None,
        *,
        steps_per_epoch: int | None = None,
        last_epoch: int = -1,
    ) -> None:
        if config is not None and not isinstance(config, LargeLRConfig):
            raise TypeError(f"config is {config!r:.60}, wanted a LargeLRConfig or None")
        if steps_per_epoch is not None:
            check_count("steps_per_epoch", steps_per_epoch)
        self.config = LargeLRConfig() if config is None else config
        self.steps_per_epoch = steps_per_epoch
        self.group_ratios = _ratios(optimizer)
        super().__init__(optimizer, last_epoch)

    @property
    def epoch(self) -> float:
        """Where the schedule is, in epochs from 0."""
        return self.last_epoch / (self.steps_per_epoch or 1)

    @property
    def phase(self) -> Phase:
        return phase_at(self.config, self.epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The learning rate of each group at the present position."""
        if not self.config.enabled:
            return [group["lr"] for group in self.optimizer.param_groups]
        lr = lr_at(self.config, self.epoch)
        return [lr * ratio for ratio in self.group_ratios]

    def state_dict(self) -> dict[str, Any]:
        """The position and the config, in plain types."""
        return {**super().state_dict(), "config": asdict(self.config)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on as saved, config included, as torch's schedulers do; warns where that is not this one's config.

        Raises ValueError for what is no state of this scheduler, and changes nothing then.
        """
        missing = {"config", "last_epoch", "steps_per_epoch", "group_ratios"} - state_dict.keys()
        if missing:
            raise ValueError(f"not the state of a LargeLRScheduler: it has no {', '.join(sorted(missing))}")
        try:
            config = LargeLRConfig(**state_dict["config"])
        except (TypeError, ConfigError) as error:
            raise ValueError(f"not the state of a LargeLRScheduler: {error}") from error
        mine, saved = asdict(self.config), asdict(config)
        if other := sorted(name for name in mine if mine[name] != saved[name]):
            warnings.warn(
                f"the schedule goes on with the saved {', '.join(other)}, not with the config's", stacklevel=2
            )
        super().load_state_dict({**state_dict, "config": config})

    def get_diagnostics(self, guard: Guard | None = None) -> dict[str, dict[str, Any]]:
        """Where the schedule is, and what the guard measured last, under the document's keys.

        ``{"large_lr": {"current_lr": ..., "epoch": ..., "phase": ..., "recent_sparsity": ..., ...}}``. A value that
        was not measured, or is not offered by the run, is None. The signals' definitions are in docs/signals.md.
        """
        last = {} if guard is None else guard.last
        measured = {key: last.get(signal) for key, signal in _DIAGNOSTICS.items()}
        position = {"current_lr": float(self.get_last_lr()[0]), "epoch": self.epoch, "phase": self.phase}
        return {"large_lr": {**position, **measured}}


def _ratios(optimizer: Optimizer) -> list[float]:
    """Each group's learning rate over the first's."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r:.60}, wanted a torch.optim.Optimizer")
    first, *others = (float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups)
    if others and not first:
        raise ValueError("the first param group's lr is 0, wanted one that the other groups' can be measured by")
    return [1.0, *(other / first for other in others)]
