"""Signals of the gradients."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import nlargest

from torch import nn

from trainguard.parameters import Parameters
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import count_nonfinite, on_host
from trainguard.signals.norms import LayerNorms, grads_of, norms, total_norm

LAYERS = "layers"


class Gradients(Sensor):
    """``grad_norm`` and ``nonfinite``, over the parameters of the model that have a gradient; none where none has.

    ``grad_norm``: sqrt(sum g^2), before clipping. NaN or infinite as soon as one gradient is. The seed: "gradient
    magnitude", which must be read before clipping to mean anything.
    ``nonfinite``: how many elements are NaN or infinite. On the CPU a finite norm answers that; on an accelerator,
    where the norm is not known yet, every element is looked at, and so the default is each 100th step there.
    """

    name = "gradients"
    computes = False

    def __init__(self, model: nn.Module) -> None:
        self._parameters = Parameters(model)
        on_cpu = all(parameter.is_cpu for parameter in model.parameters())
        self.signals = every(grad_norm=1, nonfinite=1 if on_cpu else 100)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        grads = grads_of(self._parameters.now()) if view.norms is None else []
        if view.norms is None and not grads:
            return {}
        norm = total_norm(grads) if view.norms is None else on_host(view.norms.total)
        values: dict[str, Value] = {"grad_norm": norm}
        if "nonfinite" in due:
            if isinstance(norm, float) and math.isfinite(norm):
                values["nonfinite"] = 0.0
            else:
                values["nonfinite"] = count_nonfinite(grads or grads_of(self._parameters.now()))
        return values


class ClippedNorm(Sensor):
    """``grad_norm`` of gradients that are spread over ranks: where the loop clips, as clipping found it.

    To find it out by itself, a sensor would have to bring the ranks together, on the training's own groups.
    """

    name = "gradients"
    computes = False
    signals = every(grad_norm=1)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {} if view.norms is None else {"grad_norm": on_host(view.norms.total)}


class Layers(Sensor):
    """``layers``: the gradient norm, before clipping, of each parameter that has one. No signal for rules, but by name.

    What is read out are the `largest`. None where no parameter has a gradient, or clipping left no trace of the norms.
    Names are those of the model as it was written: what ``torch.compile`` puts into them is taken out.
    """

    name = LAYERS
    signals = every(layers=100)

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        named = [(name, p.grad) for name, p in self._model.named_parameters() if p.grad is not None]
        if not named:
            return {}
        each = norms([grad for _, grad in named]) if view.norms is None else view.norms.each
        if each is None or len(each) != len(named):  # gradients were taken away after clipping
            return {}
        return {LAYERS: LayerNorms([name.replace("_orig_mod.", "") for name, _ in named], each)}


def largest(names: Sequence[str], sizes: Sequence[float], num_layers: int = 8) -> dict[str, float]:
    """The layers with the largest norms, largest first; those that are not finite before all others."""

    def size(layer: tuple[str, float]) -> float:
        return layer[1] if math.isfinite(layer[1]) else math.inf

    return dict(nlargest(num_layers, zip(names, sizes, strict=True), key=size))
