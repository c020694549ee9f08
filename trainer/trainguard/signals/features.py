"""Signals of the features: what the model has made of its input before the last layer tells classes apart.

The features z of a sample are the input of the model's last ``nn.Linear`` (in the order of its modules), or the
output of the module given to the guard. Those of the last forward pass in training mode before the step are looked
at, with the targets handed to the guard. Rows with a negative target, an index to ignore, do not count. Of more than
4,096 rows, as the tokens of a language model, a regular sample is taken.

Classes are told apart by sorting, so that nothing waits for a device to learn how many there are.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainguard.faults import Faults
from trainguard.signals.base import Sensor, StepView, Value, every
from trainguard.signals.hooks import Hooks
from trainguard.signals.sampling import stride_for

ROW_LIMIT = 4096


class Features(Sensor):
    """``class_separation``, ``class_separation_r2`` and ``feature_utilization``.

    ``class_separation``: sum over classes of ||mu_c - mu|| / sigma_c^2, as the seed has it, with mu_c the mean of the
    class, mu that of all rows, and sigma_c^2 the variance within the class, the mean of ||z - mu_c||^2 over its rows.
    Classes with one row have no variance and are left out. Features that shrink raise it: its unit is 1/z.
    NaN where no class has two rows; infinite, or very large, where the rows of a class are all equal.

    ``class_separation_r2``: 1 - d_within / d_between of |z|, with d_within the mean over classes of the mean cosine
    distance between two rows of the class, d_between the mean over all ordered pairs of classes, a class with
    itself included (Kornblith et al., arXiv 2010.16402; |z| as in github.com/mbarsbey/advcomp). Free of scale,
    between 0, as for a single class, and 1. A row of zeros has distance 1 to all. NaN, or noise, where all rows point
    the same way.

    ``feature_utilization``: share of features with a standard deviation (over n - 1) above 0.1 over the rows, as the
    seed has it. A feature with a NaN counts as unused. No value for fewer than two rows.
    """

    name = "features"
    signals = every(class_separation=100, class_separation_r2=100, feature_utilization=100)

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
                values["class_separation"] = class_separation(rows)
            if "class_separation_r2" in due:
                values["class_separation_r2"] = class_separation_r2(rows)
        return values

    def disarm(self) -> None:
        self._hooks.remove()
        self._features = None

    def _keep(self, _: nn.Module, features: Tensor) -> None:
        self._features = features.clone()  # the next layer may work in place


class Rows(NamedTuple):
    """Samples of the batch, sorted by class: features n x d, the weight of each row, and its class from 0 on.

    Rows that do not count have weight 0; they may have classes of their own, whose rows all weigh nothing.
    ``classes`` is None where no targets say so.
    """

    features: Tensor
    weights: Tensor
    classes: Tensor | None

    @property
    def weighted(self) -> Tensor:
        return self.features * self.weights[:, None]


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
        return Rows(features, torch.ones_like(features[:, 0]), None)
    labels, order = targets.to(features.device, non_blocking=True).flatten()[::stride].sort()
    is_new = torch.cat([torch.zeros_like(labels[:1], dtype=torch.bool), labels[1:] != labels[:-1]])
    return Rows(features.index_select(0, order), (labels >= 0).to(features.dtype), is_new.cumsum(0))


def class_separation(rows: Rows) -> Tensor:
    counts, means = _class_means(rows, rows.features)
    mean = rows.weighted.sum(0) / rows.weights.sum()
    squares = (rows.features - _of_each_row(rows, means)).square().sum(1)
    variances = _sum_by_class(rows, squares) / counts
    terms = torch.linalg.vector_norm(means - mean, dim=1) / variances
    total = torch.where(counts > 1, terms, 0.0).sum()
    return torch.where((counts > 1).any(), total, torch.nan)


def class_separation_r2(rows: Rows) -> Tensor:
    """By sums over classes instead of over pairs.

    With u the rows of |z| over their lengths, m_c the mean of u in a class and m the mean of the m_c, d_within is
    the mean over classes of 1 - |m_c|^2 and d_between is 1 - |m|^2. Their difference is the mean of |m_c - m|^2, and
    1 - |m_c|^2 the mean of |u - m_c|^2, plus the share of rows of zeros: forms that do not cancel.
    """
    lengths = torch.linalg.vector_norm(rows.features, dim=1)
    directions = rows.features.abs() / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)[:, None]
    counts, means = _class_means(rows, directions)
    present = (counts > 0).to(means.dtype)
    squares = (directions - _of_each_row(rows, means)).square().sum(1) + (lengths == 0)
    within = (_sum_by_class(rows, squares) / counts.clamp(min=1) * present).sum()
    mean = (means * present[:, None]).sum(0) / present.sum()
    between = ((means - mean).square().sum(1) * present).sum()
    return between / (within + between)


def feature_utilization(rows: Rows) -> Tensor:
    num_rows = rows.weights.sum()
    deviations = (rows.features - rows.weighted.sum(0) / num_rows) * rows.weights[:, None]
    variances = deviations.square().sum(0) / (num_rows - 1)
    return (variances.sqrt() > 0.1).to(variances.dtype).mean()


def _of_each_row(rows: Rows, means: Tensor) -> Tensor:
    """For each row what belongs to its class."""
    assert rows.classes is not None
    return means.index_select(0, rows.classes)


def _class_means(rows: Rows, values: Tensor) -> tuple[Tensor, Tensor]:
    """How many rows each class has, and the mean of their values: 0 where it has none."""
    counts = _sum_by_class(rows, torch.ones_like(rows.weights))
    return counts, _sum_by_class(rows, values) / counts.clamp(min=1)[:, None]


def _sum_by_class(rows: Rows, values: Tensor) -> Tensor:
    """Sums over the rows of each class that count; on an accelerator, with as many places as there are rows."""
    assert rows.classes is not None
    num_classes = int(rows.classes[-1]) + 1 if rows.classes.is_cpu else len(rows.classes)
    weights = rows.weights if values.dim() == 1 else rows.weights[:, None]
    sums = torch.zeros(num_classes, *values.shape[1:], dtype=values.dtype, device=values.device)
    return sums.index_add_(0, rows.classes, values * weights)
