"""Signals of what the model says: its loss and its logits.

Classes lie on the last axis of the logits, or on axis 1 where the targets' shape says so (dense prediction:
logits N x K x H x W, targets N x H x W). Fewer than two classes have no distribution to speak of: None.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from trainguard.signals.base import Sensor, StepView, Value, every


class Loss(Sensor):
    """``loss``: the loss of the step, as handed to ``guard.step``; NaN and infinities as they are."""

    name = "loss"
    signals = every(loss=1)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"loss": view.loss.detach() if isinstance(view.loss, Tensor) else view.loss}


class Confidence(Sensor):
    """``confidence``: mean over the batch of the largest softmax probability, between 1/K and 1. The seed's word.

    NaN where a row of logits holds NaN or +inf.
    """

    name = "confidence"
    signals = every(confidence=1)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        logits = classes_last(view)
        if logits is None:
            return {}
        return {"confidence": torch.softmax(logits, dim=-1).amax(dim=-1).mean()}


class PredictionEntropy(Sensor):
    """``prediction_entropy``: of the predicted classes over the batch, over log K: 0 is collapse, 1 is even.

    -sum_c p_c log p_c / log K, p_c the share of rows whose argmax is c; a batch of N < K rows cannot exceed
    log N / log K. NaN where any logit is NaN. Costs a host sync on an accelerator: a probe, not a steady signal.
    """

    name = "prediction_entropy"
    signals = every(prediction_entropy=None)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        logits = classes_last(view)
        if logits is None:
            return {}
        if bool(logits.isnan().any()):
            return {self.name: math.nan}
        num_classes = logits.shape[-1]
        counts = torch.bincount(logits.argmax(dim=-1).flatten(), minlength=num_classes)
        shares = counts.double() / counts.sum()
        return {self.name: -torch.xlogy(shares, shares).sum() / math.log(num_classes)}


def classes_last(view: StepView) -> Tensor | None:
    """The step's logits with their classes on the last axis; None where there are none, or fewer than two."""
    logits = view.logits
    if logits is None or logits.dim() < 2:
        return None
    if view.targets is not None and logits.dim() > 2:
        targets = view.targets.shape
        if targets == logits.shape[:1] + logits.shape[2:] and targets != logits.shape[:-1]:
            logits = logits.movedim(1, -1)
    return logits if logits.shape[-1] > 1 and logits.numel() else None
