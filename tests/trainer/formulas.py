"""The formulas of the signals once more, straight from their definitions: numpy, float64, loops over pairs."""

import math

import numpy as np
import torch

Array = np.ndarray


def array(tensor: torch.Tensor) -> Array:
    return tensor.detach().to(torch.float64).numpy()


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def confidence(logits: Array) -> float:
    return float(softmax(logits).max(axis=-1).mean())


def prediction_entropy(logits: Array) -> float:
    num_classes = logits.shape[-1]
    predicted = list(logits.argmax(axis=-1).ravel())
    shares = [predicted.count(c) / len(predicted) for c in range(num_classes)]
    return -sum(share * math.log(share) for share in shares if share) / math.log(num_classes)


def bias_conflict_loss_share(logits: Array, targets: Array, groups: Array) -> float:
    losses = [-math.log(softmax(row)[target]) for row, target in zip(logits, targets, strict=True)]
    conflicting = [loss for loss, y, s in zip(losses, targets, groups, strict=True) if y != s]
    return sum(conflicting) / sum(losses)


def class_separation(features: Array, targets: Array) -> float:
    total = 0.0
    for label in set(targets.tolist()):
        members = features[targets == label]
        if len(members) > 1:
            mean = members.mean(axis=0)
            variance = np.mean([np.sum((row - mean) ** 2) for row in members])
            total += np.linalg.norm(mean - features.mean(axis=0)) / variance
    return float(total)


def class_separation_r2(features: Array, targets: Array) -> float:
    """Over all pairs of rows."""
    classes = [np.abs(features[targets == label]) for label in sorted(set(targets.tolist()))]
    within = np.mean([mean_distance(members, members) for members in classes])
    between = np.mean([mean_distance(one, other) for one in classes for other in classes])
    return float(1 - within / between)


def mean_distance(one: Array, other: Array) -> float:
    return float(np.mean([cosine_distance(a, b) for a in one for b in other]))


def cosine_distance(a: Array, b: Array) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return 1 - float(a @ b / lengths) if lengths else 1.0


def feature_utilization(features: Array) -> float:
    return float(np.mean([np.std(column, ddof=1) > 0.1 for column in features.T]))


def effective_rank(features: Array) -> float:
    s = np.linalg.svd(features, compute_uv=False)
    p = s[s > 0] / s.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def kappa_compressibility(weights: Array, kappa: float = 0.1) -> float:
    kept = sorted(range(len(weights)), key=lambda i: -abs(weights[i]))[: math.ceil(kappa * len(weights))]
    rest = weights.copy()
    rest[kept] = 0
    return float(1 - np.linalg.norm(rest) / np.linalg.norm(weights))


def pq_index(weights: Array, p: float = 1, q: float = 2) -> float:
    norm_p, norm_q = np.sum(np.abs(weights) ** p) ** (1 / p), np.sum(np.abs(weights) ** q) ** (1 / q)
    return float(1 - len(weights) ** (1 / q - 1 / p) * norm_p / norm_q)


def rms_ratios(gradients: list[list[Array]], steps: list[int], beta: float = 0.999) -> list[float]:
    """For each measured step, from the gradients of each tensor: the largest ratio."""
    moments = [np.zeros_like(gradient) for gradient in gradients[0]]
    power, ratios = 1.0, []
    for measured, since in zip(gradients, np.diff([0, *steps]), strict=True):
        decay = beta ** int(since)
        power *= decay
        moments = [decay * v + (1 - decay) * g**2 for v, g in zip(moments, measured, strict=True)]
        corrected = [v / (1 - power) for v in moments]
        pairs = zip(measured, corrected, strict=True)
        ratios.append(max(float(np.sqrt(np.mean(g**2 / v))) for g, v in pairs))
    return ratios
