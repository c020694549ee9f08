"""Signals of the features: what the model has made of its input before the last layer tells classes apart.

The features z of a sample are the input of the model's last ``nn.Linear`` (in the order of its modules), or the
output of the module given to the guard. Those of the last forward pass in training mode before the step are looked
at, with the targets handed to the guard. Rows with a negative target, an index to ignore, do not count. Of more than
4,096 rows, as the tokens of a language model, a regular sample is taken.

On an accelerator classes are told apart by sorting, so that nothing waits for it to learn how many there are.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.effective_rank import effective_rank
from trainguard.signals.hooks import Hooks
from trainguard.signals.sampling import stride_for

ROW_LIMIT = 4096


class Features(Sensor):
    """``class_separation``, ``class_separation_r2``, ``feature_utilization`` and, on request, ``effective_rank``.

    ``class_separation``: sum over classes of ||mu_c - mu|| / sigma_c^2, as the seed has it, with mu_c the mean of the
    class, mu that of all rows, and sigma_c^2 the variance within the class, the mean of ||z - mu_c||^2 over its rows.
    Classes with one row have no variance and are left out. Features that shrink raise it: its unit is 1/z.
    NaN where no class has two rows; infinite, or very large, where the rows of a class are all equal. A class whose
    mean is that of all rows adds 0, so that features which have collapsed into one point are not separated.

    ``class_separation_r2``: 1 - d_within / d_between of |z|, with d_within the mean over classes of the mean cosine
    distance between two rows of the class, d_between the mean over all ordered pairs of classes, a class with
    itself included (Kornblith et al., arXiv 2010.16402; |z| as in github.com/mbarsbey/advcomp). Free of scale,
    between 0, as for a single class, and 1. A row of zeros has distance 1 to all. NaN, or noise, where all rows point
    the same way.

    ``feature_utilization``: share of features with a standard deviation (over n - 1) above 0.1 over the rows, as the
    seed has it. A feature with a NaN counts as unused. No value for fewer than two rows; NaN on an accelerator.

    ``effective_rank``: of the rows that count, between 1, where all point one way, and the smaller of n and d.
    """

    name = "features"
    signals = every(class_separation=100, class_separation_r2=100, feature_utilization=100, effective_rank=None)

    def __init__(self, module: nn.Module, is_source: bool, faults: Faults) -> None:
        """``is_source``: the module puts the features out; else it takes them in."""
        self._module, self._is_source = module, is_source
        self._hooks = Hooks("signal.features", faults)
        self._features: Tensor | None = None

    def arm(self, due: AbstractSet[str]) -> None:
        watch = self._hooks.on_output if self._is_source else self._hooks.on_input
        watch(self._module, self._keep)

    def take_hook_seconds(self) -> float:
        return self._hooks.take_seconds()

    def before_step(self, view: StepView, due: AbstractSet[str]) -> Mapping[str, Value]:
        if self._features is None or not self._features.numel():
            return {}
        rows = rows_of(self._features, view.targets)
        values: dict[str, Value] = {}
        if "feature_utilization" in due and len(rows.features) > 1:
            values["feature_utilization"] = feature_utilization(rows)
        if rows.classes is not None:
            if "class_separation" in due:
                values["class_separation"] = class_separation(rows, rows.classes)
            if "class_separation_r2" in due:
                values["class_separation_r2"] = class_separation_r2(rows, rows.classes)
        if "effective_rank" in due:
            values["effective_rank"] = effective_rank(rows.counting(rows.features))
        return values

    def disarm(self) -> None:
        self._hooks.remove()
        self._features = None

    def _keep(self, _: nn.Module, features: Tensor) -> None:
        self._features = features.clone()  # the next layer may work in place


class Classes(NamedTuple):
    """The class of each row, from 0 on, and how many rows of each class count: there may be classes without any."""

    of_rows: Tensor
    counts: Tensor


class Rows(NamedTuple):
    """Samples of the batch: features n x d, and of each row whether it counts, and its class.

    ``mask`` is None where all count, as on the CPU, which leaves the others out. ``classes`` is None where no targets
    say so.
    """

    features: Tensor
    mask: Tensor | None = None
    classes: Classes | None = None

    def counting(self, values: Tensor) -> Tensor:
        """Values of the rows, n or n x d, with zeros for those that do not count."""
        if self.mask is None:
            return values
        return torch.where(self.mask if values.dim() == 1 else self.mask[:, None], values, 0.0)

    @property
    def number(self) -> float | Tensor:
        """How many rows count."""
        return float(len(self.features)) if self.mask is None else self.mask.sum()


def source_of(model: nn.Module) -> nn.Module | None:
    """The last ``nn.Linear`` of a model; None where it has none. Attention blocks hold one that is never called."""
    linears = [m for m in model.modules() if isinstance(m, nn.Linear) and not isinstance(m, _NEVER_CALLED)]
    return linears[-1] if linears else None


_NEVER_CALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


def rows_of(features: Tensor, targets: Tensor | None) -> Rows:
    """The features as rows, one for each target where the shapes allow; else one for each place but the last axis."""
    if targets is not None and features.dim() > 2 and targets.shape == features.shape[:1]:
        features = features.flatten(1)
    elif features.dim() < 2:
        features = features.reshape(-1, 1)
    places = features.shape[:-1]
    stride = stride_for(math.prod(places), ROW_LIMIT)
    features = features.flatten(0, -2)[::stride].to(torch.promote_types(features.dtype, torch.float32))
    if targets is None or targets.is_floating_point() or targets.shape != places:
        return Rows(features)
    labels = targets.to(features.device, non_blocking=True).flatten()[::stride]
    return _on_the_cpu(features, labels) if labels.is_cpu else _anywhere(features, labels)


def _on_the_cpu(features: Tensor, labels: Tensor) -> Rows:
    labels = labels.long()
    lowest, highest = map(int, labels.aminmax()) if labels.numel() else (0, 0)
    if lowest < 0:
        features, labels = features[labels >= 0], labels[labels >= 0]
    if highest >= 2 * len(labels):
        labels = labels.unique(return_inverse=True)[1]  # type: ignore[no-untyped-call]
    return Rows(features, None, Classes(labels, torch.bincount(labels).to(features.dtype)))


def _anywhere(features: Tensor, labels: Tensor) -> Rows:
    """Without learning how many classes there are: as many as rows, and most of them without any."""
    ascending, order = labels.sort()
    is_new = torch.cat([torch.zeros_like(ascending[:1], dtype=torch.bool), ascending[1:] != ascending[:-1]])
    classes = torch.empty_like(order).scatter_(0, order, is_new.cumsum(0))
    mask = labels >= 0
    ones = mask.to(features.dtype)
    return Rows(features, mask, Classes(classes, torch.zeros_like(ones).index_add_(0, classes, ones)))


def class_separation(rows: Rows, classes: Classes) -> Tensor:
    counts, means = classes.counts, _means(rows, classes, rows.features)
    mean = counts @ means / counts.sum()
    variances = _sums(rows, classes, _square_distances(classes, means, rows.features)) / counts
    distances = torch.linalg.vector_norm(means - mean, dim=1)
    terms = torch.where(distances == 0, 0.0, distances / variances)
    total = torch.where(counts > 1, terms, 0.0).sum()
    return torch.where((counts > 1).any(), total, torch.nan)


def class_separation_r2(rows: Rows, classes: Classes) -> Tensor:
    """By sums over classes instead of over pairs.

    With u the rows of |z| over their lengths, m_c the mean of u in a class and m the mean of the m_c, d_within is
    the mean over classes of 1 - |m_c|^2 and d_between is 1 - |m|^2. Their difference is the mean of |m_c - m|^2, and
    1 - |m_c|^2 the mean of |u - m_c|^2, plus the share of rows of zeros: forms that do not cancel.
    """
    lengths = torch.linalg.vector_norm(rows.features, dim=1)
    directions = rows.features.abs().div_(lengths.clamp(min=torch.finfo(lengths.dtype).tiny)[:, None])
    means = _means(rows, classes, directions)
    present = (classes.counts > 0).to(means.dtype)
    squares = _square_distances(classes, means, directions) + (lengths == 0)
    within = (_sums(rows, classes, squares) / classes.counts.clamp(min=1) * present).sum()
    mean = present @ means / present.sum()
    between = ((means - mean).square().sum(1) * present).sum()
    return between / (within + between)


def feature_utilization(rows: Rows) -> Tensor:
    mean = rows.counting(rows.features).sum(0) / rows.number
    variances = rows.counting((rows.features - mean).square_()).sum(0) / (rows.number - 1)
    share = (variances.sqrt() > 0.1).to(variances.dtype).mean()
    return share if rows.mask is None else torch.where(rows.mask.sum() > 1, share, torch.nan)


def _square_distances(classes: Classes, means: Tensor, values: Tensor) -> Tensor:
    """Of the values of each row, n x d, from the mean of its class."""
    distances: Tensor = torch.linalg.vector_norm(means.index_select(0, classes.of_rows).sub_(values), dim=1)
    return distances.square_()


def _means(rows: Rows, classes: Classes, values: Tensor) -> Tensor:
    """Over the rows of each class: 0 where it has none."""
    return _sums(rows, classes, values).div_(classes.counts.clamp(min=1)[:, None])


def _sums(rows: Rows, classes: Classes, values: Tensor) -> Tensor:
    """Over the rows of each class that count."""
    sums = torch.zeros(len(classes.counts), *values.shape[1:], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, classes.of_rows, rows.counting(values))
