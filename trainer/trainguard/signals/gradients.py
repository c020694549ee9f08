"""Signals of the gradients."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import nlargest

from torch import Tensor, nn

from trainguard.parameters import parameters_of
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import count_nonfinite
from trainguard.signals.norms import grad_norms, grads_of


class Gradients(Sensor):
    """``grad_norm`` and ``nonfinite``, over the parameters of the model that have a gradient; none where none has.

    ``grad_norm``: sqrt(sum g^2), before clipping. NaN or infinite as soon as one gradient is. The seed: "gradient
    magnitude", which must be read before clipping to mean anything.
    ``nonfinite``: how many elements are NaN or infinite. On the CPU a finite norm answers that; on an accelerator,
    where the norm is not known yet, every element is looked at, and so the default is each 100th step there.

    Leaves the norms of the step in the view, for whoever needs them next.
    """

    name = "gradients"

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        on_cpu = all(parameter.is_cpu for parameter in model.parameters())
        self.signals = every(grad_norm=1, nonfinite=1 if on_cpu else 100)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        grads: list[Tensor] | None = None
        if view.norms is None:
            grads = grads_of(parameters_of(self._model))
            if not grads:
                return {}
            view.norms = grad_norms(grads)
        values: dict[str, Value] = {"grad_norm": view.norms.total}
        if "nonfinite" in due:
            values["nonfinite"] = self._num_nonfinite(view.norms.total, grads)
        return values

    def _num_nonfinite(self, norm: Tensor, grads: list[Tensor] | None) -> Value:
        if norm.is_cpu and math.isfinite(norm):
            return 0.0
        return count_nonfinite(grads_of(parameters_of(self._model)) if grads is None else grads)


def layer_names(model: nn.Module) -> list[str]:
    """The parameters that have a gradient, by name: what `GradNorms.each` are the norms of.

    Names are those of the model as it was written: what ``torch.compile`` puts into them is taken out.
    """
    named = model.named_parameters()
    return [name.replace("_orig_mod.", "") for name, parameter in named if parameter.grad is not None]


def largest(names: Sequence[str], norms: Sequence[float], num_layers: int = 8) -> dict[str, float]:
    """The layers with the largest norms, largest first; those that are not finite before all others."""

    def size(layer: tuple[str, float]) -> float:
        return layer[1] if math.isfinite(layer[1]) else math.inf

    return dict(nlargest(num_layers, zip(names, norms, strict=True), key=size))
