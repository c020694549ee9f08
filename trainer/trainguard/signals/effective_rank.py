"""How many directions the features take up: falling, it tells of a collapse that no single logit shows.

Unlike the other signals of the features it needs a decomposition, for which the host waits: it is made on request.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.features import rows_of
from trainguard.signals.hooks import Hooks

MOST_ROWS = 1024


class EffectiveRank(Sensor):
    """``effective_rank`` of the features z of the batch, n rows of d, as `Features` takes them.

    exp(-sum p_i log p_i) with p_i = s_i / sum s, of the singular values s (Roy and Vetterli 2007): between 1, where
    all rows point one way, and the smaller of n and d. Of at most 1024 rows, regularly spaced. NaN where a feature is
    NaN or infinite, or all are 0.
    """

    name = "effective_rank"
    signals = every(effective_rank=None)

    def __init__(self, module: nn.Module, is_source: bool, faults: Faults) -> None:
        """``is_source``: the module puts the features out; else it takes them in."""
        self._module, self._is_source = module, is_source
        self._hooks = Hooks("signal.effective_rank", faults)
        self._features: Tensor | None = None

    def arm(self, due: AbstractSet[str]) -> None:
        watch = self._hooks.on_output if self._is_source else self._hooks.on_input
        watch(self._module, self._keep)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if self._features is None or not self._features.numel():
            return {}
        rows = rows_of(self._features, view.targets)
        return {"effective_rank": effective_rank(rows.counting(rows.features))}

    def disarm(self) -> None:
        self._hooks.remove()
        self._features = None

    def _keep(self, _: nn.Module, features: Tensor) -> None:
        self._features = features.clone()  # the next layer may work in place


def effective_rank(rows: Tensor) -> Tensor:
    """By the eigenvalues of the smaller of both products of the rows with themselves: the squares of s."""
    z = rows[:: -(-len(rows) // MOST_ROWS)].double()
    products = z @ z.T if z.shape[0] < z.shape[1] else z.T @ z
    if not bool(products.isfinite().all()):
        return products.new_tensor(torch.nan)
    s = torch.linalg.eigvalsh(products).clamp(min=0).sqrt()
    p = s / s.sum()
    return torch.exp(-torch.xlogy(p, p).sum())
