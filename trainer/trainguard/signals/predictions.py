"""Signals of what the model says: its loss and its logits.

Classes lie on the last axis of the logits, or on axis 1 where the targets' shape says so (dense prediction:
logits N x K x H x W, targets N x H x W). Fewer than two classes have no distribution to speak of: no value.

The logits of a language model can be the largest tensor of a step. Of more than 67 million, each s-th place of the
longest axis is looked at, such as each s-th token of a sequence, so that no copy of them all is made.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.counting import on_host
from trainguard.signals.norms import wide
from trainguard.signals.sampling import stride_for

FEW_CLASSES = 64


class Loss(Sensor):
    """``loss``: the loss of the step, as handed to ``guard.step``; NaN and infinities as they are."""

    name = "loss"
    computes = False
    signals = every(loss=1)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        return {"loss": on_host(view.loss) if isinstance(view.loss, Tensor) else view.loss}


class Predictions(Sensor):
    """``confidence``, ``confidence_normalized`` and ``prediction_entropy``, of K classes.

    ``confidence``: mean over the batch of the largest softmax probability, between 1/K and 1; the seed's. NaN where a
    row of logits holds NaN or +inf.
    ``confidence_normalized``: (confidence - 1/K) / (1 - 1/K), between 0 and 1 for any K.
    ``prediction_entropy``: -sum_c p_c log p_c / log K, p_c the share of rows whose largest logit is that of c: 0 is
    collapse on one class, 1 is even. A batch of N < K rows cannot exceed log N / log K. NaN where any logit is NaN.
    """

    name = "predictions"
    signals = every(confidence=10, confidence_normalized=10, prediction_entropy=100)
    sample_limit = 1 << 26

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        logits = classes_last(view)
        if logits is None:
            return {}
        logits = _some_rows(logits, self.sample_limit)
        values: dict[str, Value] = {}
        if "confidence" in due or "confidence_normalized" in due:
            values["confidence"] = confidence = mean_largest_share(logits)
            chance = 1.0 / logits.shape[-1]
            values["confidence_normalized"] = (confidence - chance) / (1.0 - chance)
        if "prediction_entropy" in due:
            values["prediction_entropy"] = prediction_entropy(logits)
        return values


class BiasConflict(Sensor):
    """``bias_conflict_loss_share``: share of the loss that comes from samples whose group is not their class.

    sum of l over y != s / sum of l, with l the cross-entropy of each sample, -log softmax(logits)_y, y its target
    and s its group, the spurious attribute (github.com/mbarsbey/advcomp; arXiv 2507.17748 finds that robustness goes
    with it). Class weights and label smoothing of the loop's own loss are not in it. Targets that are no class, such
    as an index to ignore, count for nothing. No value without logits, targets and groups; NaN where a logit that
    counts is NaN, or the whole loss is 0.
    """

    name = "bias_conflict"
    signals = every(bias_conflict_loss_share=10)

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        logits, targets, groups = classes_last(view), view.targets, view.groups
        if logits is None or targets is None or groups is None or targets.is_floating_point():
            return {}
        if not (groups.shape == targets.shape == logits.shape[:-1]):
            shapes = f"{tuple(groups.shape)}, targets {tuple(targets.shape)} and logits {tuple(logits.shape)}"
            raise ValueError(f"groups have shape {shapes}, wanted one group and one target for each row of logits")
        targets, groups = (of.to(logits.device, non_blocking=True) for of in (targets, groups))
        classes = targets.long().clamp(0, logits.shape[-1] - 1)
        log_shares = torch.log_softmax(logits, dim=-1, dtype=wide(logits.dtype))
        losses = -log_shares.gather(-1, classes.unsqueeze(-1)).squeeze(-1)
        losses = torch.where(classes == targets, losses, 0.0)
        return {"bias_conflict_loss_share": torch.where(groups != targets, losses, 0.0).sum() / losses.sum()}


def mean_largest_share(logits: Tensor) -> float | Tensor:
    """The mean over all rows of the largest softmax probability; NaN where a row holds NaN or +inf.

    A CPU goes through the rows one by one, which is slow where they are short; with the classes on the first axis it
    goes through them side by side.
    """
    axis = -1
    if logits.is_cpu and logits.shape[-1] <= FEW_CLASSES:
        rows = logits if logits.dim() == 2 else logits.flatten(0, -2)
        logits, axis = rows.t().contiguous(), 0
    return on_host(torch.softmax(logits, axis, dtype=wide(logits.dtype)).amax(axis).mean())


def prediction_entropy(logits: Tensor) -> float | Tensor:
    """Entropy of the predicted classes over its largest value, log K; NaN where any logit is NaN."""
    num_classes = logits.shape[-1]
    predicted = logits.argmax(-1).flatten()
    if predicted.is_cpu:
        counts = torch.bincount(predicted, minlength=num_classes)
    else:  # where that would wait to learn the largest
        counts = torch.zeros(num_classes, device=logits.device)
        counts.scatter_add_(0, predicted, torch.ones(1, device=logits.device).expand(predicted.shape))
    shares = counts / predicted.numel()
    entropy = 0.0 - torch.xlogy(shares, shares).sum() / math.log(num_classes)  # and no minus zero
    return on_host(torch.where(logits.amax().isnan(), math.nan, entropy))


def classes_last(view: StepView) -> Tensor | None:
    """The step's logits with their classes on the last axis; None where there are none, or fewer than two."""
    logits = view.logits
    if logits is None or logits.dim() < 2:
        return None
    if isinstance(view.targets, Tensor) and logits.dim() > 2:
        targets = view.targets.shape
        if targets == logits.shape[:1] + logits.shape[2:] and targets != logits.shape[:-1]:
            logits = logits.movedim(1, -1)
    return logits if logits.shape[-1] > 1 and logits.numel() else None


def _some_rows(logits: Tensor, limit: int) -> Tensor:
    """The logits, or a regular sample of their rows with at most about so many of them."""
    stride = stride_for(logits.numel(), limit)
    longest = max(range(logits.dim() - 1), key=lambda axis: logits.shape[axis])
    return logits if stride == 1 else logits.movedim(longest, 0)[::stride]
