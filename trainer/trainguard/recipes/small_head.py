"""The document's recipe for small networks: the settings, and the training parts that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer

from trainguard.recipes.config import LargeLRConfig, checked
from trainguard.recipes.fields import SHARE
from trainguard.recipes.scheduler import LargeLRScheduler

GRID = (0.01, 0.03, 0.1, 0.3, 0.5, 0.8)


@dataclass(frozen=True)
class SmallHeadRecipe:
    """A config and the label smoothing that belongs to it."""

    config: LargeLRConfig
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        checked("label_smoothing", self.label_smoothing, SHARE)

    @property
    def recommended_lr(self) -> float:
        return self.config.base_lr

    def optimizer(self, parameters: Iterable[Any]) -> SGD:
        """Plain SGD: the document names no momentum."""
        return SGD(parameters, lr=self.config.base_lr, weight_decay=self.config.weight_decay)

    def scheduler(self, optimizer: Optimizer, *, steps_per_epoch: int | None = None) -> LargeLRScheduler:
        return LargeLRScheduler(optimizer, self.config, steps_per_epoch=steps_per_epoch)

    def criterion(self) -> nn.CrossEntropyLoss:
        return nn.CrossEntropyLoss(label_smoothing=self.label_smoothing)

    def as_dict(self) -> dict[str, Any]:
        """The recipe in the document's layout."""
        config = self.config
        warmup = {"epochs": config.warmup_epochs, "start_lr": config.warmup_start_lr, "type": "linear"}
        decay = {"type": config.decay_type, "min_lr": config.min_lr, "total_epochs": config.total_epochs}
        regularization = {
            "weight_decay": config.weight_decay,
            "gradient_clip": config.gradient_clip,
            "label_smoothing": self.label_smoothing,
        }
        return {
            "lr_grid": list(config.lr_grid),
            "recommended_lr": self.recommended_lr,
            "warmup": warmup,
            "decay": decay,
            "regularization": regularization,
        }


def small_head_recipe(*, label_smoothing: float = 0.1, **settings: Any) -> SmallHeadRecipe:
    """The document's "recipe for small heads", with what you want otherwise as keywords of `LargeLRConfig`.

    ::

        recipe = small_head_recipe(total_epochs=40)
        optimizer = recipe.optimizer(model.parameters())
        scheduler, criterion = recipe.scheduler(optimizer), recipe.criterion()
        ...
        guard.clip_(recipe.config.gradient_clip)
    """
    return SmallHeadRecipe(LargeLRConfig(**{"lr_grid": GRID, **settings}), label_smoothing)
