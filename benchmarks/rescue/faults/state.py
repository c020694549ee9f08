"""State that breaks in memory: weights, moments, biases."""

import torch
from torch import Tensor, nn

from benchmarks.rescue.training import Fault, Training

NUM_FLIPPED, DEAD = 4, -100.0


class BitFlips(Fault):
    """The highest bit but one of an exponent flips in a few weights: 0.01 becomes about 1e36."""

    name = "bit_flips"

    def before(self, step: int) -> None:
        if step != self.at:
            return
        weight = max(_weights(self.training.model), key=Tensor.numel)
        flat = weight.detach().view(-1)
        places = torch.randint(len(flat), (NUM_FLIPPED,), generator=self.generator)
        bits = flat[places].view(torch.int32)
        with torch.no_grad():
            flat[places] = (bits ^ (1 << 30)).view(torch.float32)


class ZeroedMoments(Fault):
    """The running second moments are lost: every next update is as large as its gradient is over epsilon."""

    name = "zeroed_moments"

    @classmethod
    def applies(cls, training: Training) -> bool:
        return "betas" in training.optimizer.defaults

    def before(self, step: int) -> None:
        if step == self.at:
            for state in self.training.optimizer.state.values():
                state["exp_avg_sq"].zero_()


class DeadUnits(Fault):
    """Large negative biases: the units of a hidden layer never fire again."""

    name = "dead_relus"

    def before(self, step: int) -> None:
        if step == self.at:
            with torch.no_grad():
                _first_bias(self.training.model).fill_(DEAD)


def _weights(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.dim() >= 2]


def _first_bias(model: nn.Module) -> Tensor:
    """Of the first layer that a ReLU comes after."""
    layers = [
        module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d | nn.ReLU)
    ]
    layers += [block.linear1 for block in model.modules() if isinstance(block, nn.TransformerEncoderLayer)]
    after = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)), len(layers))
    bias = layers[after - 1].bias
    assert isinstance(bias, Tensor)
    return bias
