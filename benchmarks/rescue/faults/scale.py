"""Numbers out of scale: a layer's output, gradients in half precision."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.rescue.training import Fault

EXPLODED, FACTOR = 30, 50.0
OVERFLOWING, LARGEST_HALF = 3, 65504.0


class ExplodingActivations(Fault):
    """A scale bug: the first layer's output is fifty times too large, until somebody mends it 30 steps later."""

    name = "exploding_activations"

    def before(self, step: int) -> None:
        if step == self.at:
            layer = next(
                m for m in self.training.model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)
            )
            self.hook = layer.register_forward_hook(_enlarge)
        elif step == self.at + EXPLODED:
            self.hook.remove()


class HalfPrecisionOverflow(Fault):
    """A loss scale too large for half precision, and nobody who looks: gradients become infinite for three steps."""

    name = "fp16_overflow"

    def gradients(self, step: int) -> None:
        if not self.at <= step < self.at + OVERFLOWING:
            return
        grads = [parameter.grad for parameter in self.training.model.parameters() if parameter.grad is not None]
        scale = 4 * LARGEST_HALF / max(float(grad.abs().max()) for grad in grads)
        for grad in grads:
            grad.copy_((grad * scale).half().float() / scale)


def _enlarge(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * FACTOR if isinstance(output, torch.Tensor) else output
