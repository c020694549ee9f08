"""Two things that break training runs at night, on schedule.

A burst of bad batches (a broken reader: noise far out of range, labels at random), and a corrupted parameter
tensor (a bad write: every bias of the first layer becomes -100, so that none of its units is ever active again).
"""

import torch
from torch import Tensor, nn

BURST_STEPS, NOISE, BAD_BIAS = 12, 10.0, -100.0


class Faults:
    """Strikes at fixed steps, with random numbers of its own: the run beside it sees the same faults."""

    def __init__(self, total_steps: int, seed: int) -> None:
        self.burst_at = round(0.3 * total_steps)
        self.corruption_at = round(0.5 * total_steps)
        self._random = torch.Generator().manual_seed(seed)

    def described(self) -> list[dict[str, object]]:
        """What happens when, for the story of the run."""
        return [
            {"step": self.burst_at, "what": f"{BURST_STEPS} bad batches: noise for images, labels at random"},
            {"step": self.corruption_at, "what": f"a parameter tensor corrupted: first layer's bias is {BAD_BIAS:g}"},
        ]

    def strike(self, step: int, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The batch as the training loop gets it at ``step`` (from 1), and what befalls the model before it."""
        if step == self.corruption_at:
            first = next(module for module in model.modules() if isinstance(module, nn.Linear))
            with torch.no_grad():
                first.bias.fill_(BAD_BIAS)
        if self.burst_at <= step < self.burst_at + BURST_STEPS:
            x = NOISE * torch.randn(x.shape, generator=self._random)
            y = torch.randint(0, 10, y.shape, generator=self._random)
        return x, y
