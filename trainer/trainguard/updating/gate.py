"""The gate: decides in the same step whether an update may pass, by the norm of its gradients.

A monitor sees a bad update when it has been made. The gate stands before the optimizer and looks at one number, the
L2 norm of all gradients before clipping, where that number is: on an accelerator nobody waits for it. How an update
is then dropped is for `Dropping`.

What is usual is an exponential mean of the norms so far. A norm beyond the limit is learned as if it were at the
limit, so that one outlier moves the mean by little, and a rise that lasts is let through in time: the gate delays
it, it does not starve the run.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

SPAN = 50
WARM_UP = 20
_DECAY = 1 - 2 / (SPAN + 1)
_LARGEST = torch.finfo(torch.float32).max
_WARM = 1 - _DECAY ** (WARM_UP - 0.5)  # between the weights after WARM_UP - 1 and WARM_UP norms


class Gate:
    """What may pass. Off, and without cost, until it is configured.

    ``nonfinite``: drop an update whose norm is NaN or infinite. ``max_norm``: drop one whose norm is above it.
    ``factor``: drop one whose norm is above so many times the usual, once ``WARM_UP`` norms were seen. A NaN is
    within no bound, and is dropped by each of the three.
    """

    def __init__(self) -> None:
        self.nonfinite = False
        self.factor: float | None = None
        self.max_norm: float | None = None
        self.is_on = False
        self._sum: Tensor | None = None  # of the norms, and of their weights
        self._weight: Tensor | None = None
        self._dropped: Tensor | float = 0.0

    def configure(
        self, *, nonfinite: bool | None = False, factor: float | None = None, max_norm: float | None = None
    ) -> None:
        """Put these in place of what there was; with none of them the gate is off.

        Raises ValueError, and changes nothing, for a ``factor`` that is not above 1 and a ``max_norm`` not above 0.
        """
        for name, bound, low in (("factor", factor, 1), ("max_norm", max_norm, 0)):
            if bound is not None and not (isfinite(bound) and bound > low):
                raise ValueError(f"{name} is {bound}, wanted a finite number above {low}, or None")
        self.nonfinite, self.factor, self.max_norm = bool(nonfinite), factor, max_norm
        self.is_on = self.nonfinite or factor is not None or max_norm is not None

    def decide(self, norm: Tensor) -> Tensor:
        """1.0 where the update of gradients with this norm is to be dropped, else 0.0.

        0-d in, 0-d out, on the same device and without waiting for it. Learns the norm.
        """
        norm = norm.detach().float()
        bound = _LARGEST if self.max_norm is None else self.max_norm
        dropped = (~(norm <= (bound if self.factor is None else self._limit(norm, self.factor, bound)))).float()
        self._dropped = self._dropped + dropped
        return dropped

    def take_count(self) -> Tensor | float:
        """How many updates were dropped since the last call."""
        count, self._dropped = self._dropped, 0.0
        return count

    def state_dict(self) -> dict[str, Any]:
        return {"nonfinite": self.nonfinite, "factor": self.factor, "max_norm": self.max_norm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.configure(**state)

    def _limit(self, norm: Tensor, factor: float, bound: float) -> Tensor:
        """The largest norm that may pass in this step. Learns the norm for the next."""
        if self._sum is None or self._weight is None:
            self._sum, self._weight = torch.zeros_like(norm), torch.zeros_like(norm)
        usual = (factor * self._sum / self._weight).clamp(max=bound)
        limit = torch.where(self._weight > _WARM, usual, bound)
        decay = torch.where(torch.isfinite(norm), _DECAY, 1.0)
        learned = torch.where(torch.isfinite(norm), torch.minimum(norm, limit), 0.0)
        self._sum = decay * self._sum + (1.0 - decay) * learned
        self._weight = decay * self._weight + (1.0 - decay)
        return limit
