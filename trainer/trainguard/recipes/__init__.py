"""The recipe that trainguard grew out of: training small classifiers with large learning rates.

A schedule (`LargeLRScheduler`) with its settings (`LargeLRConfig`), the recipe for small networks built of them
(`small_head_recipe`), a search over learning rates, and pruning afterwards. docs/recipes.md says which of the claims
behind it hold. Nothing else of trainguard needs this package; it can be used without a guard.
"""

from trainguard.recipes.config import ConfigError, LargeLRConfig
from trainguard.recipes.grid_search import GridSearch, lr_grid_search
from trainguard.recipes.indicators import robustness_indicators
from trainguard.recipes.pruning import LayerPruning, PruneReport, prune_by_magnitude
from trainguard.recipes.schedule import lr_at
from trainguard.recipes.scheduler import LargeLRScheduler
from trainguard.recipes.small_head import SmallHeadRecipe, small_head_recipe

__all__ = [
    "ConfigError",
    "GridSearch",
    "LargeLRConfig",
    "LargeLRScheduler",
    "LayerPruning",
    "PruneReport",
    "SmallHeadRecipe",
    "lr_at",
    "lr_grid_search",
    "prune_by_magnitude",
    "robustness_indicators",
    "small_head_recipe",
]
