"""Signals of the gradients."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from torch.nn import Module

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.norms import grad_norms, grads_of


class Gradients(Sensor):
    """``grad_norm``: L2 norm of all gradients together, before clipping; None where no parameter has one.

    sqrt(sum g^2) over the parameters of the model that have a gradient. NaN or infinite as soon as one gradient
    is. The seed: "gradient magnitude", which must be read before clipping to mean anything.
    """

    name = "gradients"
    signals = every(grad_norm=1)

    def __init__(self, model: Module) -> None:
        self._model = model

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if view.norms is not None:
            return {"grad_norm": view.norms.total}
        grads = grads_of(self._model.parameters())
        return {"grad_norm": grad_norms(grads).total if grads else None}
